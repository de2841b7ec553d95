"""Killed and started again, a run gives what one gives that was never killed: bit for bit, dropout on."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from commands import mft
from forked import Forked, start_code, start_mft
from small_runs import comparable, metrics, rows, small_spec, train, write_rows

SPEC = small_spec(training={"epochs": 2, "evaluate_every": 4, "checkpoint_every": 3, "log_every": 2})
KILL_WHILE_WRITING = """
import os, sys
import torch
from mftkit.cli import main
save, calls = torch.save, []
def save_and_die(*arguments, **options):
    calls.append(1)
    if len(calls) == 3:  # the third checkpoint: its weights are written, its state is half written
        save(*arguments, **options)
        os.kill(os.getpid(), 9)
    return save(*arguments, **options)
torch.save = save_and_die
sys.exit(main(["run", "spec.json"]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of 300 rows."""
    directory = tmp_path_factory.mktemp("resume")
    for task in ("big", "small"):
        write_rows(directory / "data" / f"{task}.jsonl", rows(task, 300))
    return directory


@pytest.fixture(scope="module")
def reference(data: Path) -> Path:
    """The run that was never killed."""
    return train(data, {**SPEC, "output": "reference"}, name="reference.json")


@pytest.fixture
def project(data: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").symlink_to(data / "data")
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    return tmp_path


def start(project: Path) -> Forked:
    return start_mft("run", "spec.json", cwd=project)


def wait_for_step(project: Path, step: int) -> None:
    path = project / "run" / "metrics.jsonl"
    for _ in range(6000):
        if path.exists() and any(
            json.loads(line).get("step", 0) >= step
            for line in path.read_text().splitlines()
            if line.endswith("}")
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached")


def names(run: Path) -> Any:
    return [entry.name for entry in (run / "checkpoints").iterdir()]


def assert_equal(run: Path, reference: Path) -> None:
    assert comparable(metrics(run)) == comparable(metrics(reference))
    mine, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, reference))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert sorted(names(run)) == sorted(names(reference))


@pytest.mark.long
def test_killed_after_an_epoch(project: Path, reference: Path) -> None:
    epoch = next(line["step"] for line in metrics(reference) if line.get("epoch", 0) > 1)
    process = start(project)
    wait_for_step(project, epoch)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert metrics(project / "run")[-1]["event"] != "end"
    done = mft("run", "spec.json", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "resuming from step" in done.stderr
    assert_equal(project / "run", reference)


@pytest.mark.long
def test_killed_while_a_checkpoint_is_written(project: Path, reference: Path) -> None:
    process = start_code(KILL_WHILE_WRITING, cwd=project)
    assert process.wait() == -signal.SIGKILL, process.communicate()
    left = sorted(names(project / "run"))
    assert left[0].endswith(".partial")
    assert all(not name.endswith(".partial") for name in left[1:])
    assert mft("run", "spec.json", cwd=project).returncode == 0
    assert_equal(project / "run", reference)


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_first(project: Path, reference: Path, number: int, code: int) -> None:
    process = start(project)
    wait_for_step(project, 6)
    process.send_signal(number)
    assert process.wait() == code
    end = metrics(project / "run")[-1]
    assert (end["event"], end["reason"]) == ("end", "interrupted")
    assert (project / "run" / "checkpoints" / f"step-{end['step']:08d}").is_dir()
    assert not (project / "run" / "model").exists()
    assert mft("run", "spec.json", cwd=project).returncode == 0
    mine, theirs = (comparable(metrics(each)) for each in (project / "run", reference))
    assert mine == theirs


@pytest.mark.long
def test_changed_data_is_refused_and_a_damaged_checkpoint_is_reported(project: Path) -> None:
    done = mft("run", "spec.json", "--set", "training.max_steps=7", cwd=project)
    assert done.returncode == 0, done.stderr
    run = project / "run"
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in metrics(run) if line["event"] != "end")
    )
    newest = max((run / "checkpoints").iterdir())
    state = newest / "state.pt"
    state.write_bytes(state.read_bytes()[:-10])
    done = mft("run", "spec.json", "--set", "training.max_steps=7", cwd=project)
    assert done.returncode == 0, done.stderr
    assert f"{newest.name}" in done.stderr
    assert "damaged" in done.stderr
    assert metrics(run)[-1]["reason"] == "finished"
