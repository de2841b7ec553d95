"""The metric by which a run compares its steps, checked: it exists, and a mean over tasks means something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.evaluation.scoring import build_evaluators
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.spec.best_by import metrics_by_task
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from mftkit.spec import Spec


def deciding_metrics(spec: Spec) -> dict[str, str]:
    """The metric that ``training.best_by`` names for each task that has it; empty if the losses decide.

    Raises:
        MftError: an evaluator has no such metric, or metrics of different kinds would be averaged.
    """
    metrics = metrics_by_task(spec.training.best_by, spec.tasks, spec.evaluation)
    scales: dict[str, str] = {}
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
            scales[task.name] = known[name].scale
    in_nats = [task for task, scale in scales.items() if scale == "nats"]
    if in_nats and len(in_nats) < len(scales):
        other = next(task for task in scales if task not in in_nats)
        raise MftError(
            f"training.best_by: {metrics[in_nats[0]]} of {in_nats[0]} is in nats, {metrics[other]} of {other} is not, "
            "and their mean means nothing; name metrics of one kind"
        )
    return metrics
