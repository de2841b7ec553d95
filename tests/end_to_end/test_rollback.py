"""Runs that drop a task that overfits and go back to its best step: exact, whenever they are killed."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import mftkit
from forked import run_forked
from mftkit.pages.verdict import findings, verdict
from mftkit.runs.checkpoint import CheckpointStore
from mftkit.runs.metrics_file import MetricsFile
from mftkit.runs.record import read_run
from mftkit.training.loop import Trainer
from mftkit.training.validation_history import ValidationHistory
from small_runs import comparable, metrics, rows, small_spec, write_rows

STOPPING = {"patience": 2, "criterion": "rollback"}


def noise(task: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows that can only be learned by heart."""
    drawn = random.Random(seed)
    return [
        {"prompt": f"{task} {i}", "answer": "".join(drawn.choice("abcdefgh \n") for _ in range(40))}
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rollback")
    write_rows(root / "data" / "big.jsonl", rows("big", 30))
    for number, task in enumerate(("small", "third")):
        write_rows(root / "data" / f"{task}.jsonl", noise(task, 8 + 2 * number, 2 * number))
        write_rows(root / "data" / f"{task}-valid.jsonl", noise(task, 6, 2 * number + 1))
    mftkit.run(load(root))
    return root


def load(project: Path, **changes: Any) -> Any:
    training: dict[str, Any] = {
        "max_steps": 44,
        "batch_size": 6,
        "micro_batch_size": 6,
        "learning_rate": 1e-2,
    }
    training |= {
        "evaluate_every": 4,
        "log_every": 4,
        "early_stopping": STOPPING,
        **changes.pop("training", {}),
    }
    made = small_spec(training=training, **changes)
    made["tasks"] = [{"name": "big", "train": ["data/big.jsonl"], "valid": 0.1}] + [
        {"name": task, "train": [f"data/{task}.jsonl"], "valid": [f"data/{task}-valid.jsonl"]}
        for task in ("small", "third")
    ]
    return mftkit.load_spec(made, directory=project)


def rollbacks(run: Path) -> list[tuple[str, int, int]]:
    return [(line["task"], line["step"], line["to"]) for line in metrics(run) if line["event"] == "rollback"]


def after_rollback(lines: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """The lines between a roll-back and the next one."""
    places = [i for i, line in enumerate(lines) if line["event"] == "rollback"] + [len(lines)]
    return lines[places[number] + 1 : places[number + 1]]


def test_each_task_that_overfits_is_dropped_at_its_best_step(project: Path) -> None:
    lines = metrics(project / "run")
    found = rollbacks(project / "run")
    assert len(found) >= 2
    assert {task for task, _step, _to in found} >= {"small", "third"}
    task, step, to = found[0]
    before = lines[: next(i for i, line in enumerate(lines) if line["event"] == "rollback")]
    losses = {
        line["step"]: line["tasks"][task]["loss"]
        for line in before
        if line["event"] == "valid" and line["step"]
    }
    assert to == min(losses, key=lambda each: losses[each])
    assert sum(each > to for each in losses) == STOPPING["patience"]
    assert step == max(losses)
    trained = [line for line in after_rollback(lines, 0) if line["event"] == "train"]
    assert all(line["tasks"][task]["weight"] == 0 for line in trained)
    assert trained[0]["step"] == to + 4


def test_training_continues_exactly_as_from_that_step_without_the_task(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a run without early stopping, resumed from the checkpoint of that step with the task's weight at 0."""
    task, step, to = rollbacks(project / "run")[0]
    names = ["big", "small", "third"]
    plain = {"training": {"early_stopping": None, "keep_checkpoints": 99}, "output": str(tmp_path / "plain")}
    mftkit.run(load(project, **copy.deepcopy(plain)))
    run, store = tmp_path / "plain", CheckpointStore(tmp_path / "plain" / "checkpoints")
    ours = metrics(project / "run")
    first = [line for line in ours if line["event"] in ("train", "valid")][: 1 + 2 * step // 4]
    assert comparable(first) == comparable(
        [line for line in metrics(run) if line["event"] != "end" and line["step"] <= step]
    )
    for later in store.steps():
        if later > to:
            store.discard(later)
    shutil.rmtree(run / "model")
    MetricsFile(run / "metrics.jsonl").cut(to)
    stopped = property(lambda _self: [names.index(task)], lambda _self, _value: None)
    monkeypatch.setattr(ValidationHistory, "stopped_tasks", stopped, raising=False)
    mftkit.run(load(project, **copy.deepcopy(plain)))
    expected = [line for line in metrics(run) if line["event"] in ("train", "valid") and line["step"] > to]
    found = [line for line in after_rollback(ours, 0) if line["event"] != "end"]
    assert found
    assert comparable(found) == comparable(expected[: len(found)])


KILLS: dict[str, tuple[type, str, int]] = {
    "before a later checkpoint is removed": (CheckpointStore, "discard", 1),
    "before the step's checkpoint is written again": (Trainer, "save", 1),
    "before the line is written": (MetricsFile, "write", 1),
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_run_that_is_killed_while_it_goes_back_does_the_same_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    spec = load(project, output=str(tmp_path / "run"))
    owner, name, _calls = KILLS[moment]
    going_back: list[bool] = []
    original, roll_back = getattr(owner, name), Trainer._roll_back

    def killed(self: Any, *arguments: Any) -> Any:
        if going_back:
            raise KeyboardInterrupt
        return original(self, *arguments)

    def entered(self: Any, *arguments: Any) -> None:
        going_back.append(True)
        roll_back(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        patched.setattr(Trainer, "_roll_back", entered)
        with pytest.raises(KeyboardInterrupt):
            mftkit.run(spec)
    assert going_back
    mftkit.run(spec)
    lines = [line for line in metrics(tmp_path / "run") if line["event"] != "rollback"]
    assert rollbacks(tmp_path / "run") == rollbacks(project / "run")
    expected = metrics(project / "run")
    assert comparable(after_rollback(metrics(tmp_path / "run"), 0)) == comparable(after_rollback(expected, 0))
    assert comparable(lines[-3:]) == comparable(
        [each for each in expected if each["event"] != "rollback"][-3:]
    )
    ours, theirs = (
        load_file(run / "model" / "model.safetensors") for run in (tmp_path / "run", project / "run")
    )
    assert all(ours[key].equal(theirs[key]) for key in theirs)


TWO = """
import mftkit
from pathlib import Path
mftkit.run(mftkit.load_spec(Path("two.json")))
"""


def test_two_processes_go_back_together(project: Path) -> None:
    two = load(project, output=str(project / "two"), training={"micro_batch_size": 3})
    (project / "two.json").write_text(json.dumps(two.dump()))
    run_forked(TWO, (2,), project)
    ((task, step, to), *_more) = rollbacks(
        project / "two"
    )  # another one than that of one process: dropout differs
    assert to < step
    after = after_rollback(metrics(project / "two"), 0)
    assert {line["tasks"][task]["weight"] for line in after if line["event"] == "train"} == {0}
    assert MetricsFile(project / "two" / "metrics.jsonl").read().end is not None


def test_readers_leave_out_what_was_given_up(project: Path) -> None:
    record = read_run(project / "run")
    for lines in (record.train, record.valid):
        steps = [line.step for line in lines]
        assert steps == sorted(set(steps))
    assert [line.task for line in record.rollbacks] == [task for task, *_ in rollbacks(project / "run")]
    text = " ".join(verdict(record, findings(record)))
    assert "small overfitted: at step" in text
    checkpoints = CheckpointStore(project / "run" / "checkpoints").steps()
    assert max(checkpoints) <= record.last_step


def test_another_patience_is_another_run(project: Path) -> None:
    changed = load(project, training={"early_stopping": STOPPING | {"patience": 3}})
    with pytest.raises(mftkit.MftError, match=r"training\.early_stopping\.patience"):
        mftkit.run(changed)


def test_a_lost_checkpoint_is_reported_and_the_best_of_the_others_is_taken(
    project: Path, tmp_path: Path
) -> None:
    spec = load(project, output=str(tmp_path / "lost"), training={"keep_checkpoints": 99})
    task, step, to = rollbacks(project / "run")[0]
    original = Trainer._roll_back

    def damaged(self: Any, rollback: Any) -> None:
        if not rollbacks(tmp_path / "lost"):
            (self._directory.checkpoints.path(to) / "model.safetensors").write_bytes(b"")
        original(self, rollback)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "_roll_back", damaged)
        mftkit.run(spec)
    line = next(line for line in metrics(tmp_path / "lost") if line["event"] == "rollback")
    assert (line["task"], line["step"], line["lost_best_step"]) == (task, step, to)
    assert line["to"] != to
    assert json.dumps(line["to"]) in (tmp_path / "lost" / "log.txt").read_text()
