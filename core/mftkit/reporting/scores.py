"""What a task is worth at a step, so that steps can be compared: a loss or a metric, turned so that lower is better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.reporting.lines import EvaluationLine, MetricPoint, ValidLine


def score(point: MetricPoint) -> float:
    """A metric as a score: lower is better; points count as hundredths, so that they can be averaged with shares.

    Infinite for a metric without a value, which one that is not finite has in metrics.jsonl.
    """
    if point.value is None or not math.isfinite(point.value):
        return math.inf
    value = point.value / 100 if point.scale == "points" else point.value
    return -value if point.higher_is_better else value


def metric_scores(line: EvaluationLine, best_by: str | Mapping[str, str]) -> dict[str, float]:
    """The scores of the tasks that have the metric which ``training.best_by`` names."""
    names = {task: best_by if isinstance(best_by, str) else best_by.get(task) for task in line.tasks}
    return {
        task: score(line.tasks[task][name])
        for task, name in names.items()
        if name is not None and name in line.tasks[task]
    }


def loss_scores(line: ValidLine) -> dict[str, float]:
    """The losses of the tasks; infinite for one that is not finite."""
    return {name: math.inf if task.loss is None else task.loss for name, task in line.tasks.items()}
