"""Several processes on the CPU: the numbers of one process, to rounding; signals, faults and exit codes kept."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands import environment, mft
from fixture_types import Install
from forked import mft_forked, run_forked, start_code
from small_runs import assert_same_numbers, comparable, metrics, small_spec

LOSSES = ["token-balanced", "sample-balanced", "sample-focal", "task-focal", "mixed"]
# Of the balancers that learn, one that looks at validation samples and one that looks at the step's twice; all of them,
# with processes that are threads: tests/plugins/balancers/test_split.py.
PAIRS = [
    *((loss, balancer) for loss in LOSSES for balancer in ("equal", "fixed")),
    ("token-balanced", "coba"),
    ("token-balanced", "famo-training"),
]
# Each process trains the whole matrix, one run after another.
MATRIX = """
import os
import mftkit
from adaptive_balancers import ADAPTIVE
from small_runs import small_spec
from pathlib import Path
count = int(os.environ.get("WORLD_SIZE", "1"))
for loss, balancer in PAIRS:
    spec = small_spec(loss=loss, balancer=ADAPTIVE.get(balancer, balancer), output=f"{count}-{loss}-{balancer}",
                      training={"max_steps": 4, "log_every": 1, "evaluate_every": 2, "micro_batch_size": 4})
    spec["model"]["config"]["attention_dropout"] = 0.0
    spec["model"]["dtype"] = "float64"
    if balancer == "fixed":
        spec["tasks"][0]["weight"] = 3.0
    spec["training"]["micro_batch_size"] = 16 // (4 if count == 1 else count)
    mftkit.run(mftkit.load_spec(spec, directory=Path.cwd()))
"""


@pytest.mark.parametrize(
    ("pairs", "counts"),
    [
        ([("task-focal", "fixed"), ("token-balanced", "coba")], (1, 2)),
        pytest.param(PAIRS, (1, 2, 4), marks=[pytest.mark.engines, pytest.mark.long]),
    ],
    ids=["some", "all"],
)
def test_every_loss_and_balancer_gives_the_numbers_of_one_process(
    pairs: list[tuple[str, str]], counts: tuple[int, ...], project: Path
) -> None:
    run_forked(f"PAIRS = {pairs}\n{MATRIX}", counts, project)
    for loss, balancer in pairs:
        one, *others = (project / f"{count}-{loss}-{balancer}" for count in counts)
        assert metrics(one)[-1]["reason"] == "finished"
        for other in others:
            assert_same_numbers(one, other, rel=1e-9)


WHOLE = """
import mftkit
mftkit.run(mftkit.load_spec("spec.json", ["output=whole"]))
"""


def two(project: Path, **changes: Any) -> Any:
    spec = small_spec(
        **changes, training={"epochs": 2, "log_every": 1, "evaluate_every": 6, "checkpoint_every": 3}
    )
    (project / "spec.json").write_text(json.dumps(spec))
    return project


@pytest.mark.long
def test_a_signal_to_the_launcher_saves_and_the_run_goes_on_bit_for_bit(project: Path) -> None:
    run_forked(WHOLE, (2,), two(project))
    assert json.loads((project / "whole" / "environment.json").read_text())["processes"] == 2
    launcher = subprocess.Popen(
        [sys.executable, "-m", "mftkit.cli", "run", "spec.json", "--processes", "2"],
        cwd=project, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    path = project / "run" / "metrics.jsonl"
    while not (path.exists() and '"step": 5' in path.read_text()):
        assert launcher.poll() is None
        time.sleep(0.02)
    launcher.send_signal(signal.SIGTERM)
    _, printed = launcher.communicate(timeout=60)
    assert launcher.returncode == 143
    assert "Warning" not in printed
    assert metrics(project / "run")[-1]["reason"] == "interrupted"
    done = mft_forked("run", "spec.json", "--processes", "2", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert comparable(metrics(project / "run")) == comparable(metrics(project / "whole"))


FAILS = """
import os, mftkit

@mftkit.hookimpl
def register_losses(register):
    register("fails", Fails, summary="fails in the second process")

class Fails(mftkit.Loss):
    linear = True
    calls = 0

    def statistics(self, tokens):
        if tokens.logprobs.requires_grad and os.environ.get("RANK") == "1":
            Fails.calls += 1
            if Fails.calls == 12:
                raise RuntimeError("only here")
        return tokens.logprobs.new_zeros(tokens.num_tasks, 1).index_add(0, tokens.task, -tokens.logprobs[:, None])

    def task_losses(self, totals):
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)
"""


@pytest.mark.long
def test_one_process_that_fails_ends_the_others_with_its_message(project: Path, install: Install) -> None:
    site = install("mft-fails", {"fails": "mft_fails"}, {"mft_fails": FAILS})
    done = mft_forked("run", "spec.json", "--processes", "2", cwd=two(project, loss="fails"), sites=(site,))
    assert done.returncode == 1
    last = metrics(project / "run")[-1]
    assert last["reason"] == "failed"
    assert (
        last["error"]
        == 'process 1 of 2 failed: plugin "fails" (mft-fails 1.0) failed: RuntimeError: only here'
    )
    assert last["error"] in done.stderr


# torchrun's own agent and variables; it forks its processes from this one, instead of starting two interpreters.
TORCHRUN = """
import sys
from torch.distributed import run
from torch.distributed.launcher.api import elastic_launch

def worker():
    from mftkit.cli import main
    code = main(["run", "spec.json", "--set", "training.max_steps=2"])
    if code:
        raise SystemExit(code)

standalone = ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", "--rdzv_id", "alone"]  # as --standalone
arguments = run.parse_args([*standalone, "--nproc_per_node", "2", "--start_method", "fork", "-m", "mftkit.cli"])
config, _, _ = run.config_from_args(arguments)
elastic_launch(config, worker)()
"""


@pytest.mark.long
def test_under_torchrun_the_processes_find_each_other(project: Path) -> None:
    process = start_code(TORCHRUN, two(project))
    _, printed = process.communicate()
    assert process.returncode == 0, printed
    assert json.loads((project / "run" / "environment.json").read_text())["processes"] == 2


def test_another_number_of_processes_resumes_with_the_same_numbers(project: Path) -> None:
    spec = json.loads((two(project) / "spec.json").read_text())
    spec["model"]["config"]["attention_dropout"] = 0.0
    spec["model"]["dtype"] = "float64"
    (project / "spec.json").write_text(json.dumps(spec))
    done = mft("run", "spec.json", cwd=project)
    assert done.returncode == 0, done.stderr
    run = project / spec["output"]
    shutil.copytree(run, project / "unbroken")
    # As after a kill between the last two checkpoints, in the middle of a window of metrics.
    last = max((run / "checkpoints").iterdir())
    shutil.rmtree(last)
    kept = [
        line
        for line in metrics(run)
        if line["event"] != "end" and line["step"] < int(last.name.removeprefix("step-"))
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    done = mft_forked("run", "spec.json", "--processes", "2", cwd=project)
    assert done.returncode == 0, done.stderr
    assert_same_numbers(project / "unbroken", run, rel=1e-9)


HALT = """
import mftkit

@mftkit.hookimpl
def register_callbacks(register):
    register("halt", Halt, summary="ends the run at step 3")

class Halt(mftkit.Callback):
    def on_step_end(self, run, step, metrics):
        if step == 3:
            run.stop("seen enough")
"""


def test_a_callback_in_a_file_ends_all_processes_after_the_same_step(project: Path) -> None:
    (project / "halt.py").write_text(HALT)
    spec = small_spec(plugins=["halt.py"], callbacks=["halt"], training={"evaluate_every": 50})
    (project / "spec.json").write_text(json.dumps(spec))
    done = mft_forked("run", "spec.json", "--processes", "2", cwd=project)
    assert done.returncode == 0, done.stderr
    lines = metrics(project / "run")
    assert [(line["event"], line["step"]) for line in lines[-3:]] == [("train", 3), ("valid", 3), ("end", 3)]
    assert lines[-1]["stopped_by"] == "callback halt: seen enough"
