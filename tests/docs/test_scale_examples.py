"""Job files for clusters, which no test can start, hold what the programs that read them need."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, cast

import pytest
from ruamel.yaml import YAML
from torch.distributed import run as torchrun

import mftkit
from documents import ROOT, blocks, commands, parse
from forked import run_forked, start_code
from small_runs import metrics

if TYPE_CHECKING:
    from pathlib import Path

SCALE = ROOT / "examples" / "scale"
PAGE = ROOT / "docs" / "scale.md"
SBATCH = (SCALE / "slurm.sbatch").read_text("utf-8")
KUBERNETES = (SCALE / "kubernetes.yaml").read_text("utf-8")


def objects(text: str) -> dict[str, Any]:
    """The objects of a Kubernetes file by kind."""
    return {each["kind"]: each for each in YAML(typ="safe").load_all(text)}


def torchrun_words(script: str) -> list[str]:
    """What follows ``torchrun`` in a line of shell, with a pod's number in place of its variable."""
    words = shlex.split(script.replace('"$JOB_COMPLETION_INDEX"', "1"))
    return words[words.index("torchrun") + 1 :]


def check_torchrun(words: list[str]) -> Any:
    """Let torchrun's own parser read its arguments, and the command line those of ``mft``."""
    read = torchrun.parse_args(words)
    assert read.module
    assert read.training_script == "mftkit.cli"
    parse(read.training_script_args)
    return read


def check_kubernetes(text: str) -> None:
    """Fail unless the pods of the job can find the first one, and are as many as torchrun expects."""
    found = objects(text)
    service, job = found["Service"], found["Job"]
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    name, service_name = job["metadata"]["name"], service["metadata"]["name"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    assert service["spec"]["clusterIP"] == "None"
    assert pod["subdomain"] == service_name
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert pod["restartPolicy"] == "Never"
    [container] = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert container["command"] == ["bash", "-c"]
    [script] = container["args"]
    assert shlex.split(script)[:2] == ["exec", "torchrun"], "torchrun gets the pod's signals"
    read = check_torchrun(torchrun_words(script))
    assert read.nnodes == str(spec["completions"])
    assert read.node_rank == 1
    assert read.master_addr == f"{name}-0.{service_name}"
    assert read.nproc_per_node == str(container["resources"]["limits"]["nvidia.com/gpu"])
    assert read.shutdown_timeout < pod["terminationGracePeriodSeconds"]


def test_the_kubernetes_job() -> None:
    check_kubernetes(KUBERNETES)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("completions: 2", "completions: 3"),
        ("subdomain: mft-scale", "subdomain: mft"),
        ("clusterIP: None ", "clusterIP: null "),
        ("--nnodes 2", "--nnodes 3"),
        ("--master-addr mft-scale-0.mft-scale", "--master-addr mft-scale-0"),
        ("--master-port", "--master-prot"),
        ("mftkit.cli run", "mftkit.cli runn"),
        ("--shutdown-timeout 270", "--shutdown-timeout 600"),
    ],
)
def test_a_mistake_in_the_kubernetes_job_would_be_noticed(right: str, wrong: str) -> None:
    assert right in KUBERNETES
    with pytest.raises((AssertionError, SystemExit)):
        check_kubernetes(KUBERNETES.replace(right, wrong))


def test_the_slurm_job() -> None:
    done = subprocess.run(["bash", "-n"], input=SBATCH, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = SBATCH.split("\n")
    assert lines[0] == "#!/bin/bash"
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SBATCH, re.MULTILINE))
    assert len(options) == SBATCH.count("#SBATCH ")
    assert options.keys() == {
        "job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "time", "signal", "requeue",
        "open-mode", "output",
    }  # fmt: skip
    assert options["ntasks-per-node"] == options["gpus-per-node"], "one process for each GPU"
    assert re.fullmatch(r"TERM@\d+", options["signal"]), "to the tasks; B: would send it to the script alone"
    first_command = next(number for number, line in enumerate(lines) if line and line[0] != "#")
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:]), "sbatch stops reading there"
    code = "\n".join(lines[first_command:])
    assert code.index("export MASTER_ADDR") < code.index("srun ")


def test_the_slurm_job_starts_a_command_that_exists() -> None:
    [line] = re.findall(r"^srun (.*)$", SBATCH, re.MULTILINE)
    words = shlex.split(line)
    parse(words[words.index("mft") + 1 :])
    assert words[-1] == "$spec"


# What a batch script may call, in place of Slurm's programs; srun ends with the code that it is given.
STUBS = """
scontrol() { if [ "$1" = show ]; then printf 'node-0\\nnode-1\\n'; else echo "scontrol $*" >&2; fi; }
srun() { echo "srun $* from $MASTER_ADDR" >&2; return "$CODE"; }
"""


@pytest.mark.parametrize(("code", "requeued"), [(143, True), (0, False), (1, False)])
def test_the_slurm_job_queues_itself_again_only_after_a_signal(code: int, requeued: bool) -> None:
    environment = {"SLURM_JOB_NODELIST": "node-[0-1]", "SLURM_CPUS_PER_TASK": "8", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", "-s", "mine.json"],
        input=STUBS + SBATCH,
        env={**environment, "CODE": str(code), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "mft run mine.json from node-0\n" in done.stderr
    assert ("scontrol requeue 7" in done.stderr) == requeued


def test_the_ray_file_calls_what_mftkit_and_ray_offer() -> None:
    tree = ast.parse((SCALE / "ray_train.py").read_text("utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    [run] = [
        node for node in ast.walk(functions["train"])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "mftkit.run"
    ]  # fmt: skip
    assert "run" in mftkit.__all__
    assert ast.unparse(run.args[0]) == "config['spec']"
    [trainer] = [
        node for node in ast.walk(functions["main"])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "TorchTrainer"
    ]  # fmt: skip
    given = {word.arg: word.value for word in trainer.keywords}
    assert ast.unparse(trainer.args[0]) == "train"
    assert (
        ast.literal_eval(cast("ast.Dict", given["train_loop_config"]).keys[0] or ast.Constant(None)) == "spec"
    )
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {"TorchTrainer", "ScalingConfig", "RunConfig", "FailureConfig"} <= imported
    assert not any(isinstance(node, ast.ImportFrom) and "ray" in str(node.module) for node in tree.body), (
        "Ray is imported only where it is used"
    )


def test_the_spec_is_valid() -> None:
    spec = mftkit.load_spec(SCALE / "spec.json")
    assert spec.engine.name != "auto"
    assert spec.training.watchdog
    assert spec.training.batch_size % (2 * 8 * spec.training.micro_batch_size) == 0, "two nodes of eight"


def test_the_page_shows_the_files_as_they_are() -> None:
    shown = [block.text for block in blocks(PAGE)]
    assert SBATCH in shown
    assert KUBERNETES in shown


def torchrun_lines() -> list[list[str]]:
    """The arguments of every ``torchrun`` in the pages."""
    return [
        words[1:]
        for page in (PAGE, ROOT / "docs" / "recipes.md")
        for block in blocks(page) if block.language == "sh"
        for words in commands(block) if words[0] == "torchrun"
    ]  # fmt: skip


def test_torchrun_lines_of_the_pages_parse() -> None:
    assert len(torchrun_lines()) >= 3
    for words in torchrun_lines():
        check_torchrun(words)


# torchrun's own agent; it forks its processes from this one, which has imported torch, instead of starting interpreters.
TORCHRUN = """
from torch.distributed import run
from torch.distributed.launcher.api import elastic_launch

arguments = run.parse_args(["--start_method", "fork", *{words}])
assert arguments.standalone
arguments.rdzv_backend, arguments.rdzv_endpoint = "c10d", "localhost:0"  # what torchrun makes of --standalone

def worker():
    from mftkit.cli import main
    code = main([*arguments.training_script_args, "--set", "output={run}", "--set", "training.max_steps=2"])
    if code:
        raise SystemExit(code)

elastic_launch(run.config_from_args(arguments)[0], worker)()
"""


@pytest.mark.engines
def test_the_torchrun_line_of_one_node_trains(tmp_path: Path) -> None:
    [words] = [words for words in torchrun_lines() if "examples/scale/spec.json" in words]
    process = start_code(TORCHRUN.format(words=words, run=tmp_path / "run"), ROOT)
    _, printed = process.communicate(120)
    assert process.returncode == 0, printed
    assert metrics(tmp_path / "run")[-1]["reason"] == "finished"
    environment = json.loads((tmp_path / "run" / "environment.json").read_text("utf-8"))
    assert (environment["engine"], environment["processes"]) == ("fsdp2", 2)
    assert environment["sharding"]["shards"] == 2


# What Ray Train gives to a function: torchrun's variables, a process group, and a thread that is not the main one.
RAY = """
import runpy, threading
import torch.distributed as dist
dist.init_process_group("gloo")
failed = []

def work():
    try:
        runpy.run_path("{file}")["train"]({{"spec": "{spec}"}})
    except BaseException as error:
        failed.append(error)
        raise

thread = threading.Thread(target=work)
thread.start()
thread.join()
raise SystemExit(len(failed))
"""


@pytest.mark.engines
def test_the_function_for_ray_trains_in_what_ray_makes(tmp_path: Path) -> None:
    spec = json.loads((SCALE / "spec.json").read_text("utf-8"))
    spec["output"] = str(tmp_path / "run")
    spec["training"]["max_steps"] = 2
    (tmp_path / "spec.json").write_text(json.dumps(spec), "utf-8")
    run_forked(RAY.format(file=SCALE / "ray_train.py", spec=tmp_path / "spec.json"), (2,), tmp_path)
    assert metrics(tmp_path / "run")[-1]["reason"] == "finished"
