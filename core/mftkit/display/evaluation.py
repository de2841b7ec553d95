"""Metrics of an evaluation in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, place, whole
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.evaluation.intervals import MetricValue
    from mftkit.evaluation.results import EvaluationResults


def evaluation_view(model: str, results: EvaluationResults, directory: Path) -> RenderableType:
    """A table with one line per task and metric, and where the files are."""
    rows = [
        [f"{task} {name}", shown(value.value, value), interval(value), whole(value.rows)]
        for task, metrics in results.tasks.items()
        for name, value in metrics.items()
    ]
    table = NumericTable(["task and metric", "value", "95 % interval", "rows"], rows)
    return Group(
        Text(one_line(f"evaluation of {model}"), style="bold", overflow="fold"),
        Text(),
        Padding(table, INDENT, expand=False),
        Text(),
        Text(one_line(f"prompts, answers and verdicts: {place(directory)}"), overflow="fold"),
    )


def shown(number: float, value: MetricValue) -> str:
    """A number on the scale of its metric."""
    if value.scale == "share":
        return f"{100 * number:.1f} %"
    return f"{number:.4f}" if value.scale == "nats" else f"{number:.2f}"


def interval(value: MetricValue) -> str:
    """The bounds of a metric's interval."""
    return f"{shown(value.low, value)} to {shown(value.high, value)}"
