"""Runs in which a metric decides: the best step, each task's best, early stopping, and references to them."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.runs.reference import find_weights
from mftkit.training.loop import Trainer
from small_runs import comparable, metrics, rows, small_spec, write_rows

EDIT = "edit-similarity/edit-similarity"
SECTION = {"evaluators": ["edit-similarity"], "limit": 3, "max_new_tokens": 12}


def load(project: Path, **changes: Any) -> Any:
    training = {"max_steps": 10, "batch_size": 4, "micro_batch_size": 4, "evaluate_every": 5, "best_by": EDIT}
    training |= {"best_per_task": True, "learning_rate": 1e-2, **changes.pop("training", {})}
    made = small_spec(training=training, evaluation={"every": 2}, **changes)
    made["tasks"] = [
        {"name": task, "train": [f"data/{task}.jsonl"], "valid": 0.2, "evaluate": SECTION}
        for task in ("big", "small")
    ]
    return mftkit.load_spec(made, directory=project)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("best-by")
    write_rows(root / "data" / "big.jsonl", rows("big", 30))
    write_rows(root / "data" / "small.jsonl", rows("small", 20))
    mftkit.run(load(root))
    return root


def series(run: Path) -> dict[int, dict[str, float]]:
    return {
        line["step"]: {task: values[EDIT]["value"] for task, values in line["tasks"].items()}
        for line in metrics(run)
        if line["event"] == "evaluation" and line["step"]
    }


def highest(values: dict[int, float]) -> int:
    return min((-value, step) for step, value in values.items())[1]


def test_the_best_step_and_each_tasks_best_are_by_the_metric(project: Path) -> None:
    found = series(project / "run")
    assert sorted(found) == [2, 4, 6, 8, 10]
    by_mean = highest({step: sum(tasks.values()) / 2 for step, tasks in found.items()})
    (end,) = [line for line in metrics(project / "run") if line["event"] == "end"]
    assert end["best_step"] == by_mean
    index = json.loads((project / "run" / "best" / "best.json").read_text())
    for task in ("big", "small"):
        assert index["tasks"][task]["step"] == highest({step: each[task] for step, each in found.items()})
    validated = {line["step"] for line in metrics(project / "run") if line["event"] == "valid"}
    assert validated == {0, 2, 4, 5, 6, 8, 10}  # each evaluation comes with a validation
    assert f"best by mean of {EDIT}" in (project / "run" / "log.txt").read_text()
    assert find_weights(project / "run@best").result == find_weights(project / "run").result


def test_early_stopping_counts_evaluations_and_a_stop_does_not_change_it(
    project: Path, tmp_path: Path
) -> None:
    stopping = {"early_stopping": {"patience": 1}, "max_steps": 30}
    whole = load(project, output=str(tmp_path / "whole"), training=stopping)
    mftkit.run(whole)
    found = {step: sum(tasks.values()) for step, tasks in series(tmp_path / "whole").items()}
    steps = sorted(found)
    (end,) = [line for line in metrics(tmp_path / "whole") if line["event"] == "end"]
    if end["reason"] == "early-stopped":
        assert found[steps[-1]] <= max(found[step] for step in steps[:-1])
    assert all(found[one] < found[two] for one, two in pairwise(steps[:-1]))

    parts = load(project, output=str(tmp_path / "parts"), training=copy.deepcopy(stopping))
    made = Trainer._make_step

    def killed(self: Trainer, stop: Any) -> Any:
        if self.step == 3:
            raise KeyboardInterrupt
        return made(self, stop)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "_make_step", killed)
        with pytest.raises(KeyboardInterrupt):
            mftkit.run(parts)
    mftkit.run(parts)
    assert comparable(metrics(tmp_path / "parts")) == comparable(metrics(tmp_path / "whole"))


def test_an_extended_run_that_is_killed_between_evaluations_continues(project: Path, tmp_path: Path) -> None:
    """A validation decides nothing where a metric does."""
    training = {"early_stopping": {"patience": 1}, "learning_rate": 1e-9, "min_learning_rate": 0.0}
    output, every = str(tmp_path / "run"), {"evaluate_every": 1, "checkpoint_every": 1, "max_steps": 4}
    mftkit.run(load(project, output=output, training=training | every))
    longer = load(project, output=output, training=training | every | {"max_steps": 6})
    saved = Trainer.save

    def killed(self: Trainer) -> None:
        saved(self)
        if self.step == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            mftkit.run(longer)
    assert max(series(tmp_path / "run")) == 2  # where early stopping had ended it
    mftkit.run(longer)
    assert max(series(tmp_path / "run")) == 4


def test_an_unfinished_run_is_referred_to_by_the_metric(project: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    lines = [line for line in metrics(project / "run") if line["event"] != "end"]
    (unfinished / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (unfinished / "spec.json").write_text((project / "run" / "spec.json").read_text())
    found = series(project / "run")
    best = highest({step: sum(tasks.values()) / 2 for step, tasks in found.items()})
    (unfinished / "checkpoints" / f"step-{best:08d}").mkdir(parents=True)
    assert find_weights(f"{unfinished}@best").step == best
    of_task = highest({step: each["big"] for step, each in found.items()})
    (unfinished / "checkpoints" / f"step-{of_task:08d}").mkdir(exist_ok=True)
    assert find_weights(f"{unfinished}@best:big").step == of_task


def test_evaluations_that_decide_may_not_change(project: Path) -> None:
    changed = load(project)
    changed = changed.model_copy(update={"evaluation": changed.evaluation.model_copy(update={"every": 3})})
    with pytest.raises(mftkit.MftError, match=r"evaluation\.every"):
        mftkit.run(changed)
