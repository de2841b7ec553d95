"""The metric that decides is one that its evaluator measures, of one kind for all tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.evaluation.best_by import deciding_metrics
from mftkit.reporting.lines import EvaluationLine, MetricPoint
from mftkit.reporting.scores import metric_scores
from small_runs import small_spec


def load(directory: Path, best_by: Any) -> Any:
    spec = small_spec(training={"best_by": best_by})
    for task in spec["tasks"]:
        task["evaluate"] = {"evaluators": ["exact-match", "loss"]}
    spec["evaluation"] = {"every": 2}
    return mftkit.load_spec(spec, directory=directory)


def test_a_metric_that_the_evaluator_does_not_have_is_refused(tmp_path: Path) -> None:
    assert deciding_metrics(load(tmp_path, "loss/perplexity")) == {
        "big": "loss/perplexity",
        "small": "loss/perplexity",
    }
    with pytest.raises(
        mftkit.MftError, match=r"loss has no metric 'perplexty' .* did you mean loss/perplexity"
    ):
        deciding_metrics(load(tmp_path, "loss/perplexty"))


@pytest.mark.parametrize("metric", ["loss/loss", "loss/perplexity"])
def test_losses_are_not_averaged_with_shares(tmp_path: Path, metric: str) -> None:
    with pytest.raises(
        mftkit.MftError, match=f"the mean of {metric} of big and exact-match/.* means nothing"
    ):
        deciding_metrics(load(tmp_path, {"big": metric, "small": "exact-match/exact-match"}))


def test_scores_are_lower_for_what_is_better() -> None:
    tasks = {
        "a": {"x/share": MetricPoint(0.25)},
        "b": {"x/share": MetricPoint(None)},
        "c": {"y/points": MetricPoint(25.0, scale="points")},
        "d": {"loss/loss": MetricPoint(1.5, higher_is_better=False, scale="nats")},
    }
    line = EvaluationLine(3, tasks)
    assert metric_scores(line, "x/share") == {"a": -0.25, "b": float("inf")}
    chosen = {"a": "x/share", "c": "y/points", "d": "loss/loss"}
    assert metric_scores(line, chosen) == {"a": -0.25, "c": -0.25, "d": 1.5}
