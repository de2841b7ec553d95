"""The result of a comparison in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, place, whole
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable
from mftkit.tools.compare.paired_rows import paired_texts
from mftkit.tools.compare.rows import (
    budget_text,
    effect_texts,
    made_text,
    metric_rows,
    metric_texts,
    start_text,
    table_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.tools.compare.arms import Arm
    from mftkit.tools.compare.planning import Comparison
    from mftkit.tools.compare.result import ComparisonResult
    from mftkit.tools.compare.rows import TableRow


def comparison_view(result: ComparisonResult, path: Path) -> RenderableType:
    """The table, the verdict, and where the files are."""
    seeds = len(result.seeds)
    over = f", mean over {seeds} seeds ± standard deviation" if seeds > 1 else ""
    title = f"{result.name}: best validation loss of each task, nats per token{over}"
    labels = [arm.label for arm in result.arms]
    lines = [
        "* lowest of its row; time is for one seed's runs, in hours:minutes:seconds",
        budget_text(result),
        start_text(result),
        *effect_texts(result),
        result.noise.summary,
        result.noise.rule if result.noise.measured else "",
        *metric_texts(result),
        *paired_texts(result),
        made_text(result),
        f"runs, compare.json and compare.html: {place(path)}",
    ]
    table = NumericTable(["task", *labels], [_cells(row) for row in table_rows(result)])
    return Group(
        Text(one_line(title), style="bold", overflow="fold"),
        Text(),
        Padding(table, INDENT, expand=False),
        Text(),
        *_metrics(result, labels, over),
        *(Text(one_line(line), overflow="fold") for line in lines if line),
    )


def _metrics(result: ComparisonResult, labels: list[str], over: str) -> list[RenderableType]:
    """The table of metrics, if the spec evaluates anything."""
    rows = metric_rows(result)
    if not rows:
        return []
    title = f"metrics of the last evaluation{over}; * best of its row"
    table = NumericTable(["task and metric", *labels], [_cells(row) for row in rows])
    return [Text(title, style="bold", overflow="fold"), Text(), Padding(table, INDENT, expand=False), Text()]


def planned_view(comparison: Comparison) -> RenderableType:
    """The arms of a comparison that was planned, with their runs and steps, and what each of them changes."""
    rows = []
    for arm in comparison.arms:
        steps = [run.steps for run in comparison.runs if run.arm is arm]
        rows.append([arm.label, whole(len(steps)), whole(sum(steps)), arm_text(arm)])
    rows += [[arm.label, "0", "0", arm_text(arm)] for arm in comparison.made]
    total = ["all arms", whole(len(comparison.runs)), whole(sum(run.steps for run in comparison.runs)), ""]
    return NumericTable(["arm", "runs", "steps of all runs", "trains with"], rows, total)


def arm_text(arm: Arm) -> str:
    """How an arm's models are merged, or the settings of an arm, or else its loss and balancer."""
    if arm.merge is not None:
        return f"no training: models merged by {arm.merge.method}"
    if arm.settings:
        return ", ".join(setting.override for setting in arm.settings)
    return f"loss {arm.loss['name']}, balancer {arm.balancer['name']}"


def _cells(row: TableRow) -> list[str]:
    marked = [f"{cell}*" if best else f"{cell} " for cell, best in zip(row.cells, row.best, strict=True)]
    return [row.name, *marked]
