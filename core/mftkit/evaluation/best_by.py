"""The metric by which a run compares its steps, checked: it exists, and a mean over tasks means something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.evaluation.scoring import build_evaluators
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.spec.best_by import metrics_by_task
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from mftkit.interfaces.evaluator import Metric
    from mftkit.spec import Spec


def deciding_metrics(spec: Spec) -> dict[str, str]:
    """The metric that ``training.best_by`` names for each task that has it; empty if the losses decide.

    Raises:
        MftError: an evaluator has no such metric, or metrics of different kinds would be averaged.
    """
    metrics = metrics_by_task(spec.training.best_by, spec.tasks, spec.evaluation)
    kinds: dict[str, str] = {}
    for task in tasks_to_evaluate(spec):
        if task.name in metrics:
            evaluator, _, name = metrics[task.name].partition("/")
            known = {metric.name: metric for metric in build_evaluators(task)[evaluator].metrics()}
            if name not in known:
                close = nearest(name, known)
                meant = f"; did you mean {evaluator}/{close[0]}?" if close else ""
                raise MftError(
                    f"training.best_by: {evaluator} has no metric {name!r} for the task {task.name}; its metrics: "
                    f"{', '.join(known)}{meant}"
                )
            kinds[task.name] = _kind(known[name])
    for name, kind in kinds.items():
        first = next(iter(kinds))
        if kind != kinds[first]:
            raise MftError(
                f"training.best_by: the mean of {metrics[first]} of {first} and {metrics[name]} of {name} means "
                "nothing; name metrics of one kind"
            )
    return metrics


def _kind(metric: Metric) -> str:
    """What a metric can be averaged with: shares and points, of which more is better, or only itself."""
    return "share" if metric.higher_is_better and metric.scale != "nats" else metric.name
