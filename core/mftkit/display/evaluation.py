"""Metrics of an evaluation in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, place
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable
from mftkit.reporting.metric_text import METRIC_HEADINGS, metric_rows

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.evaluation.results import EvaluationResults


def evaluation_view(model: str, results: EvaluationResults, directory: Path, page: Path) -> RenderableType:
    """A table with one line per task and metric, and where the files are."""
    rows = [[f"{task} {name}", *rest] for task, name, *rest in metric_rows(results.tasks)]
    table = NumericTable(["task and metric", *METRIC_HEADINGS[2:]], rows)
    return Group(
        Text(one_line(f"evaluation of {model}"), style="bold", overflow="fold"),
        Text(),
        Padding(table, INDENT, expand=False),
        Text(),
        Text(one_line(f"prompts, answers and verdicts: {place(directory)}"), overflow="fold"),
        Text(one_line(f"page: {place(page)}"), overflow="fold"),
    )
