"""Losses of runs on subsets: which runs are read, averaged, left out and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from mftkit.tools.affinity.measured import MeasuredLoss, measured_losses
from mftkit_registry import MftError
from recorder import Recorder

TASKS = ("a", "b", "c")


def write_run(path: Path, losses: dict[str, list[float]], *, ended: bool = True, **spec: Any) -> None:
    """A run with validations after steps 0, 10, 20, ..."""
    path.mkdir(parents=True)
    (path / "spec.json").write_text(json.dumps({"tasks": [{"name": name} for name in losses], **spec}))
    count = len(next(iter(losses.values())))
    lines: list[dict[str, Any]] = [
        {
            "event": "valid",
            "step": 10 * number,
            "loss": 1.0,
            "tasks": {name: {"loss": series[number], "tokens": 5} for name, series in losses.items()},
        }
        for number in range(count)
    ]
    if ended:
        lines.append({"event": "end", "step": 10 * (count - 1), "reason": "finished"})
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_runs_of_a_comparison_are_found_and_averaged_over_seeds(tmp_path: Path) -> None:
    for seed, loss in ((1, 2.0), (2, 3.0)):
        write_run(
            tmp_path / f"runs/single/seed-{seed}/a", {"a": [0.5, loss, loss + 1]}, seed=seed, name=str(seed)
        )
    write_run(tmp_path / "runs/mixed/seed-1", {"b": [9.0, 4.0, 3.0], "a": [9.0, 1.0, 2.0]})
    recorder = Recorder()
    found = measured_losses([tmp_path, tmp_path / "runs/mixed/seed-1"], TASKS, recorder)
    assert found == [
        MeasuredLoss((0,), 0, 2.5, 2, 20),
        MeasuredLoss((0, 1), 0, 1.0, 1, 20),
        MeasuredLoss((0, 1), 1, 3.0, 1, 20),
    ]
    assert recorder.warnings == []


def test_other_differences_and_unfinished_runs_are_reported(tmp_path: Path) -> None:
    write_run(tmp_path / "one", {"a": [2.0, 1.0]}, loss={"name": "x"}, seed=1)
    write_run(tmp_path / "two", {"a": [2.0, 2.0]}, loss={"name": "y"}, seed=2)
    write_run(tmp_path / "three", {"b": [2.0, 2.0]}, ended=False)
    recorder = Recorder()
    assert measured_losses([tmp_path], TASKS, recorder) == [MeasuredLoss((0,), 0, 1.5, 2, 10)]
    assert recorder.warnings[0] == f"--measured: left out, since they have not ended: {tmp_path / 'three'}"
    assert recorder.warnings[1].startswith(
        "--measured: 2 runs of the tasks a are averaged, but they differ in loss; name"
    )
    with pytest.raises(MftError, match="--measured: no run has ended"):
        measured_losses([tmp_path / "three"], TASKS, recorder)
    with pytest.raises(MftError, match=r"one trains a, which SPEC does not have; it has b, c"):
        measured_losses([tmp_path / "one"], TASKS[1:], recorder)
