"""The evaluators' metrics as metadata of a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import EvalResult

if TYPE_CHECKING:
    from mftkit.reporting.lines import EvaluationLine


def metric_results(line: EvaluationLine) -> list[EvalResult]:
    """The metrics as metadata of a card; shares are from 0 to 1."""
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=task,
            dataset_name=f"evaluation rows of {task}",
            metric_type=name.rpartition("/")[2],
            metric_name=name,
            metric_value=round(point.value, 6),
        )
        for task, metrics in line.tasks.items()
        for name, point in metrics.items()
        if point.value is not None
    ]
