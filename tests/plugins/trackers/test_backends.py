"""What each tracker writes, read back with its own tool; then the same after a run that went on."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.plugins import installed, kinds

KEY = "train/tasks/ü+a/loss"
PLAY = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from mftkit.plugins import installed, kinds
from mftkit.interfaces.run_info import RunInfo

name, options, run, key = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
spec = {"name": "two", "seed": 7, "tasks": [{"name": "ü+a", "train": ["a.jsonl"]}]}

def part(at, steps, reason):
    tracker = installed.build(kinds.TRACKER, name, options)
    tracker.start(RunInfo("two", run, spec, ("ü+a",)), run / "trackers" / "it", at)
    for step in steps:
        tracker.log(step, {key: 10.0 / step, "train/learning_rate": 0.5})
    tracker.log(steps[-1], {"valid/loss": 1.0})
    tracker.end(reason)

PartialState()  # as in a run
part(0, range(1, 4), "interrupted")  # killed after step 3, with a checkpoint of step 2
part(2, range(3, 5), "finished")
"""
READ_MLFLOW = """
import json, sys
import mlflow

client = mlflow.MlflowClient(sys.argv[1])
(run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
history = client.get_metric_history(run.info.run_id, sys.argv[2])
logged = {"status": run.info.status, "name": run.info.run_name, "params": run.data.params}
print(json.dumps(logged | {"history": [[metric.step, metric.value] for metric in history]}))
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs code in a process of its own: these tools leave threads, files and settings behind."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for place in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{place}_DIR", str(tmp_path / f"wandb-{place}"))

    def run(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def play(python: Any, tmp_path: Path) -> Any:
    """Plays a run that is killed and gone on with; where its tracker wrote."""

    def played(name: str, **options: Any) -> Path:
        run = tmp_path / "a run"
        python(PLAY, name, json.dumps(options), str(run), KEY)
        return run / "trackers" / "it"

    return played


def needs(module: str) -> None:
    """Skips where a tool is not installed, without importing it here."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed (extra: trackers)")


def test_tensorboard(play: Any) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra: trackers)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(play("tensorboard") / "two"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars(KEY)] == [
        (step, pytest.approx(10 / step)) for step in (1, 2, 3, 4)
    ]
    assert [event.step for event in read.Scalars("valid/loss")] == [4]
    (text,) = read.Tensors("spec/text_summary")
    assert b'"seed": 7' in text.tensor_proto.string_val[0]


def test_tensorboard_hides_the_steps_that_a_run_has_given_up(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra: trackers)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = installed.build(kinds.TRACKER, "tensorboard", {})
    tracker.start(mftkit.RunInfo("back", tmp_path, {}, ("a",)), tmp_path, 0)
    for step, value in ((2, 1.0), (4, 2.0), (6, 3.0), (4, 4.0)):
        tracker.log(step, {"loss": value})
    tracker.end("finished")
    read = EventAccumulator(str(tmp_path / "back"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(2, 1.0), (4, 4.0)]


def test_mlflow(play: Any, python: Any) -> None:
    needs("mlflow")
    store = play("mlflow", experiment="mine") / "store"
    logged = json.loads(python(READ_MLFLOW, store.as_uri(), KEY.replace("+", "_")))
    assert logged["history"] == [[step, 10 / step] for step in (1, 2, 3, 4)]
    assert (logged["status"], logged["name"]) == ("FINISHED", "two")
    assert (logged["params"]["seed"], logged["params"]["tasks.0.train.0"]) == ("7", "a.jsonl")


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, after wandb's header of 7 bytes."""
    position, kept = 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<4xHB", data[position : position + 7])
        kept += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield kept
            kept = b""


def test_wandb(play: Any) -> None:
    needs("wandb")
    from wandb.proto import wandb_internal_pb2

    directory = play("wandb", tags=["t"])
    parts = sorted(directory.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    assert len(parts) == 2
    identity = (directory / "id").read_text()
    rows: dict[int, dict[str, float]] = {}
    for data in (record for part in parts for record in log_records(part.read_bytes())):
        record: Any = getattr(wandb_internal_pb2, "Record")()  # noqa: B009  # generated code, of which no type is known
        record.ParseFromString(data)
        if record.HasField("run"):
            assert (record.run.run_id, record.run.project) == (identity, "mftkit")
            assert record.run.tags == ["t"]
        if record.HasField("history"):
            rows[record.history.step.num] = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
    assert [(step, row[KEY]) for step, row in sorted(rows.items())] == [(s, 10 / s) for s in (1, 2, 3, 4)]
    assert rows[4]["valid/loss"] == 1.0


def test_paths_are_relative_to_the_spec(tmp_path: Path) -> None:
    tracker = {"name": "tensorboard", "options": {"directory": "boards"}}
    spec = {"model": {"path": "org/m"}, "tasks": [{"name": "a", "train": "a"}], "trackers": [tracker]}
    read = mftkit.load_spec({"name": "x", **spec}, directory=tmp_path)
    assert read.trackers[0].options == {"directory": str(tmp_path / "boards")}
