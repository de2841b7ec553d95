"""Faults of one process of several: all end soon, with the reason, and what was saved stays good."""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from faults import FAULTS
from forked import Forked, start_code, start_mft
from mftkit.runs.checkpoint import CheckpointStore
from mftkit.runs.directory import RunDirectory
from small_runs import comparable, metrics, small_spec

SOON = 40.0
"""Seconds within which every process must have ended, with slack for a busy machine; most cases take one or two."""


@pytest.fixture
def faulty(project: Path) -> Path:
    """A project whose run has the faults that the variable FAULT names."""
    (project / "faults.py").write_text(FAULTS)
    write_spec(project)
    return project


def write_spec(project: Path, output: str = "run", **training: Any) -> None:
    spec = small_spec(
        plugins=["faults.py"],
        loss="faulty",
        output=output,
        training={"log_every": 1, "evaluate_every": 50, "checkpoint_every": 3, **training},
    )
    (project / "spec.json").write_text(json.dumps(spec))


def start(project: Path, fault: str) -> Forked:
    return start_mft("run", "spec.json", "--processes", "2", cwd=project, FAULT=fault)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(run: Path) -> Any:
    return metrics(run)[-1]


def pids(project: Path) -> list[int]:
    return [int((project / f"pid-{rank}").read_text()) for rank in (0, 1)]


def wait_for(condition: Any, process: Forked | None = None) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_step(run: Path, step: int) -> bool:
    path = run / "metrics.jsonl"
    return path.exists() and f'"train", "step": {step},' in path.read_text()


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_others_with_its_last_words(faulty: Path, rank: int) -> None:
    process = start(faulty, f"kill:{rank}:5")
    _, printed = process.communicate(SOON)
    assert process.returncode == 128 + signal.SIGKILL
    last = end(faulty / "run")
    assert (last["reason"], last["step"]) == ("failed", 4)
    assert f"process {rank} of 2 (PID {pids(faulty)[rank]} on " in last["error"]
    assert "was ended by SIGKILL" in last["error"]
    assert f"process {rank} of 2 was ended by SIGKILL" in printed
    assert "about to fail" in printed
    assert ("its last lines: about to fail" in last["error"]) == (
        rank == 1
    )  # the first one's are on the terminal
    assert "Traceback" not in printed
    assert not any(map(is_running, pids(faulty)))


@pytest.mark.parametrize(
    ("fault", "reason", "hint"),
    [
        ("memory", "out of memory in step 5 (only here)", "lower training.micro_batch_size"),
        ("device-memory", "out of memory in step 5 (only here)", "lower training.micro_batch_size"),
        ("error", " failed: RuntimeError: only here", "faults.py"),
    ],
)
def test_an_exception_in_one_process_ends_the_others_with_its_reason(
    faulty: Path, fault: str, reason: str, hint: str
) -> None:
    process = start(faulty, f"{fault}:1:5")
    _, printed = process.communicate(SOON)
    assert process.returncode == 1
    last = end(faulty / "run")
    assert last["reason"] == "failed"
    assert last["error"].startswith("process 1 of 2 failed: ")
    assert reason in last["error"]
    assert hint in last["error"]
    assert not any(map(is_running, pids(faulty)))
    assert f"the run failed in step 4: {last['error']}" in printed
    assert "closed by peer" not in printed
    assert CheckpointStore(faulty / "run" / "checkpoints").read(3).manifest["step"] == 3


def test_a_process_that_hangs_ends_the_run_with_its_place(faulty: Path) -> None:
    write_spec(faulty, watchdog="4 s")
    process = start(faulty, "hang:1:5")
    _, printed = process.communicate(SOON)
    assert process.returncode == 1
    last = end(faulty / "run")
    assert last["error"].startswith("no step has ended for 4 s (training.watchdog): process 1 of 2 (PID ")
    assert "is behind, after step 4, in faults.py:" in last["error"]
    assert "hang_here" in last["error"]
    assert "process 0" not in last["error"]
    assert last["error"] in printed


def test_a_directory_that_another_run_uses_is_refused_by_all_processes(faulty: Path) -> None:
    with RunDirectory(faulty / "run"):
        process = start(faulty, "none:0:0")
        _, printed = process.communicate(SOON)
    assert process.returncode == 2
    assert printed.count("is in use by another run; wait for it to end") == 1
    assert "Traceback" not in printed
    assert not (faulty / "run" / "metrics.jsonl").exists()


@pytest.mark.engines
@pytest.mark.parametrize("rank", [0, 1])
def test_native_code_that_holds_the_interpreter_is_noticed_too(faulty: Path, rank: int) -> None:
    write_spec(faulty, watchdog="3 s")
    process = start(faulty, f"native:{rank}:5")
    _, printed = process.communicate(60)
    assert process.returncode == 1
    last = end(faulty / "run")
    assert last["reason"] == "failed"
    if rank == 0:  # it can say nothing itself, but the system's timer ends it and prints where it was
        assert "process 0 of 2 (PID " in last["error"]
        assert "ended with exit code 1" in last["error"]
        assert 'faults.py", line' in printed
    else:
        assert "native code that does not release the interpreter" in last["error"]
    wait_for(lambda: not any(map(is_running, pids(faulty))))


def test_a_loss_that_is_not_finite_in_one_process_ends_all_in_the_same_way(faulty: Path) -> None:
    process = start(faulty, "nan:1:5")
    _, printed = process.communicate(SOON)
    assert process.returncode == 1
    last = end(faulty / "run")
    assert (last["reason"], last["step"]) == ("failed", 5)
    sample = (faulty / "sample").read_text()
    assert "the loss is not finite in step 5; tasks: " in last["error"]
    assert f"samples: {sample} (" in last["error"]
    assert "The checkpoint of step 3 was kept" in last["error"]
    assert printed.count("is not finite") == 1
    assert CheckpointStore(faulty / "run" / "checkpoints").steps() == [3]


@pytest.mark.long
@pytest.mark.engines
def test_after_a_signal_to_one_process_a_killed_launcher_and_a_kill_of_all_it_resumes_bit_for_bit(
    faulty: Path,
) -> None:
    write_spec(faulty, "whole", epochs=2)
    assert start(faulty, "none:0:0").wait(SOON) == 0
    write_spec(faulty, epochs=2)
    process = start(faulty, "slow:0:0")
    wait_for(lambda: has_step(faulty / "run", 4), process)
    os.kill(pids(faulty)[1], signal.SIGTERM)
    _, printed = process.communicate(SOON)
    assert process.returncode == 128 + signal.SIGTERM
    assert end(faulty / "run")["reason"] == "interrupted"
    assert "a checkpoint was saved" in printed
    step = end(faulty / "run")["step"]
    assert CheckpointStore(faulty / "run" / "checkpoints").steps()[-1] == step

    process = start(faulty, "slow:0:0")
    wait_for(lambda: has_step(faulty / "run", step + 2), process)
    process.kill()
    wait_for(lambda: not any(map(is_running, pids(faulty))))
    assert end(faulty / "run")["reason"] == "interrupted"
    step = end(faulty / "run")["step"]
    assert CheckpointStore(faulty / "run" / "checkpoints").steps()[-1] == step

    process = start(faulty, "slow:0:0")
    wait_for(lambda: has_step(faulty / "run", step + 2), process)
    process.send_signal(signal.SIGSTOP)  # so that it cannot react
    for pid in pids(faulty):
        os.kill(pid, signal.SIGKILL)
    process.kill()
    wait_for(lambda: not any(map(is_running, pids(faulty))))
    assert metrics(faulty / "run")[-1]["event"] != "end"

    assert start(faulty, "none:0:0").wait(SOON) == 0
    assert comparable(metrics(faulty / "run")) == comparable(metrics(faulty / "whole"))


@pytest.mark.parametrize(("rank", "saved"), [pytest.param(0, [1, 2, 3], marks=pytest.mark.engines), (1, [3])])
def test_the_clock_of_the_main_process_alone_decides_when_to_save(
    faulty: Path, rank: int, saved: list[int]
) -> None:
    write_spec(faulty, max_steps=3, checkpoint_every="20 min", keep_checkpoints=9)
    assert start(faulty, f"clock:{rank}:0").wait(SOON) == 0
    assert CheckpointStore(faulty / "run" / "checkpoints").steps() == saved


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_keeps_the_checkpoint_before_and_the_run_resumes_once_there_is_space(
    faulty: Path,
) -> None:
    disk = faulty / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this system does not let root mount a small disk")
    try:
        write_spec(faulty, "disk/run")
        process = start(faulty, "slow:0:0")
        store = CheckpointStore(disk / "run" / "checkpoints")
        wait_for(lambda: store.steps() == [3], process)
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(b"0" * 4096):
                pass
        _, printed = process.communicate(SOON)
        assert process.returncode == 1
        assert "no space left on the disk; free some space, then run again" in printed
        assert str(store.path(6)) in printed
        assert [entry.name for entry in store.directory.iterdir()] == ["step-00000003"]
        assert store.read(3).manifest["step"] == 3
        (disk / "ballast").unlink()
        process = start(faulty, "none:0:0")
        _, printed = process.communicate(SOON)
        assert process.returncode == 0, printed
        assert "resuming from step 3" in printed
        assert end(disk / "run")["reason"] == "finished"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# torchrun's own agent and variables; it forks its processes from this one, instead of starting interpreters.
NODE = """
import sys
from torch.distributed import run
from torch.distributed.launcher.api import elastic_launch

def worker():
    from mftkit.cli import main
    code = main(["run", "spec.json"])
    if code:
        raise SystemExit(code)

arguments = run.parse_args([
    "--nnodes", "2", "--node_rank", sys.argv[1], "--nproc_per_node", "1", "--start_method", "fork",
    "--master_addr", "127.0.0.1", "--master_port", sys.argv[2], "-m", "mftkit.cli",
])
config, _, _ = run.config_from_args(arguments)
elastic_launch(config, worker)()
"""


@pytest.mark.engines
def test_torchrun_on_two_nodes_saves_once_when_one_node_is_stopped(faulty: Path) -> None:
    port = str(free_port())
    code = [f"import sys; sys.argv = ['node', '{node}', '{port}']\n{NODE}" for node in (0, 1)]
    nodes = [start_code(each, faulty, FAULT="slow:0:0") for each in code]
    wait_for(lambda: has_step(faulty / "run", 3), nodes[0])
    nodes[1].send_signal(signal.SIGTERM)
    printed = "".join(node.communicate(SOON)[1] for node in nodes)
    assert end(faulty / "run")["reason"] == "interrupted", printed
    step = end(faulty / "run")["step"]
    assert CheckpointStore(faulty / "run" / "checkpoints").steps()[-1] == step
    assert printed.count("a checkpoint was saved") == 1
    environment = json.loads((faulty / "run" / "environment.json").read_text())
    assert environment["processes"] == 2


@pytest.mark.engines
def test_tasks_of_srun_find_each_other(faulty: Path) -> None:
    write_spec(faulty, max_steps=1)
    job: Any = {
        "SLURM_JOB_ID": str(free_port() - 20000),
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
    }
    tasks = [
        start_mft("run", "spec.json", cwd=faulty, SLURM_PROCID=rank, SLURM_LOCALID=rank, **job)
        for rank in ("0", "1")
    ]
    printed = [task.communicate(SOON) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], printed
    assert printed[1] == ("", "")
    assert json.loads((faulty / "run" / "environment.json").read_text())["processes"] == 2
