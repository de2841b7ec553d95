"""What decides which steps are the best, and when early stopping stops: the validation losses, or a metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mftkit.evaluation.best_by import deciding_metrics
from mftkit.reporting.scores import metric_scores
from mftkit.spec.training import LOSS
from mftkit.training.validation_history import ValidationHistory

if TYPE_CHECKING:
    from mftkit.reporting.lines import EvaluationLine
    from mftkit.spec import Spec


class MetricHistory(ValidationHistory):
    """The evaluations of a run, by the metric that ``training.best_by`` names.

    Its tasks are the trained ones, then those that are only evaluated.
    """

    def __init__(self, spec: Spec) -> None:
        """Raises MftError if the spec names a metric that there is not."""
        self._metrics = deciding_metrics(spec)
        self._names = [*(task.name for task in spec.tasks), *(task.name for task in spec.evaluation.tasks)]
        super().__init__(self._names, spec.training.early_stopping, trained=len(spec.tasks))

    def add_evaluation(self, line: EvaluationLine) -> list[int]:
        """Add an evaluation; returns the tasks that it has stopped."""
        found = metric_scores(line, self._metrics)
        return self.add(line.step, [found.get(name, math.nan) for name in self._names])


def make_histories(spec: Spec) -> tuple[ValidationHistory, MetricHistory | None]:
    """The history of the losses, and that of the metric which decides instead, if the spec names one."""
    names = [task.name for task in spec.tasks]
    if spec.training.best_by == LOSS:
        return ValidationHistory(names, spec.training.early_stopping), None
    return ValidationHistory(names), MetricHistory(spec)
