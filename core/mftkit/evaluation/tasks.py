"""The tasks that a spec evaluates: trained ones with a section ``evaluate``, and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.spec import ComponentRef, EvaluateSpec, Spec


@dataclass(frozen=True)
class TaskToEvaluate:
    """A task, as evaluation sees it."""

    name: str
    format: ComponentRef
    columns: dict[str, str]
    evaluate: EvaluateSpec
    where: str
    """The key path of its section in the spec, for messages."""
    index: int | None
    """Its index among the trained tasks; None if it is not trained."""


def tasks_to_evaluate(spec: Spec) -> list[TaskToEvaluate]:
    """All tasks that a spec evaluates: trained ones first."""
    trained = [
        TaskToEvaluate(task.name, task.format, task.columns, task.evaluate, f"tasks.{index}.evaluate", index)
        for index, task in enumerate(spec.tasks)
        if task.evaluate is not None
    ]
    others = [
        TaskToEvaluate(task.name, task.format, task.columns, task, f"evaluation.tasks.{index}", None)
        for index, task in enumerate(spec.evaluation.tasks)
    ]
    return trained + others
