"""``training.best_by``: which metrics can decide, and what is refused, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.spec.best_by import metrics_by_task
from small_runs import small_spec

EXACT = "exact-match/exact-match"
UNSEEN = {"name": "unseen", "data": "unseen.jsonl", "evaluators": ["exact-match", "loss"]}


def load(
    directory: Path, best_by: Any, *, every: int | None = 2, evaluates: bool = True, **training: Any
) -> Any:
    spec = small_spec(training={"best_by": best_by, **training})
    if evaluates:
        spec["tasks"][1]["evaluate"] = {"evaluators": ["exact-match"]}
        spec["evaluation"] = {"every": every, "tasks": [UNSEEN]}
    return mftkit.load_spec(spec, directory=directory)


def test_a_metric_decides_for_each_task_that_has_it(tmp_path: Path) -> None:
    def metrics(best_by: Any) -> dict[str, str]:
        spec = load(tmp_path, best_by)
        assert mftkit.load_spec(spec.dump()) == spec
        return metrics_by_task(spec.training.best_by, spec.tasks, spec.evaluation)

    assert metrics("loss") == {}
    assert metrics(EXACT) == {"small": EXACT, "unseen": EXACT}
    assert metrics({"unseen": "loss/loss"}) == {"unseen": "loss/loss"}


EACH = {"patience": 2, "criterion": "each"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best_by": "accuracy"}, 'training.best_by: should be "loss" or a metric, as "EVALUATOR/METRIC"'),
        ({"best_by": "exact-mach/x"}, 'did you mean "exact-match"'),
        ({"best_by": {}}, "training.best_by: names no task"),
        ({"best_by": {"big": EXACT}}, "training.best_by.big: is no task with evaluators"),
        ({"best_by": {"small": "loss/loss"}}, "training.best_by.small: is a metric of the evaluator 'loss'"),
        ({"best_by": EXACT, "every": None}, "training.best_by: needs evaluations during the run"),
        ({"best_by": EXACT, "evaluates": False}, "training.best_by: needs a task with evaluators"),
        (
            {"best_by": EXACT, "early_stopping": {"patience": 2, "tasks": ["big"]}},
            "training.early_stopping.tasks.0: cannot be watched",
        ),
        (
            {"best_by": {"unseen": EXACT}, "early_stopping": EACH},
            "training.early_stopping.criterion: watches single",
        ),
    ],
)
def test_what_cannot_decide_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(mftkit.MftError) as error:
        load(tmp_path, **changes)
    assert message in str(error.value)
