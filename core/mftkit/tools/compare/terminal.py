"""What a comparison came to, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import one_line, place
from mftkit.display.plan import INDENT
from mftkit.display.tables import NumericTable
from mftkit.tools.compare.rows import budget_told, rows, start_told

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from mftkit.tools.compare.rows import Row


def comparison_view(document: dict[str, Any], path: Path) -> RenderableType:
    """The table, the verdict, and where everything lies."""
    seeds = len(document["seeds"])
    over = f", mean over {seeds} seeds ± standard deviation" if seeds > 1 else ""
    title = f"{document['name']}: best validation loss of each task, nats per token{over}"
    labels = [arm["label"] for arm in document["arms"]]
    told = [
        "* lowest of its row; time is that of one seed's runs, hours:minutes:seconds",
        budget_told(document),
        start_told(document),
        document["noise"]["told"],
        document["noise"]["rule"] if document["noise"]["measured"] else "",
        f"runs, compare.json and compare.html: {place(path)}",
    ]
    return Group(
        Text(one_line(title), style="bold", overflow="fold"),
        Text(),
        Padding(
            NumericTable(["task", *labels], [_cells(row) for row in rows(document)]), INDENT, expand=False
        ),
        Text(),
        *(Text(one_line(line), overflow="fold") for line in told if line),
    )


def _cells(row: Row) -> list[str]:
    marked = [f"{cell}*" if best else f"{cell} " for cell, best in zip(row.cells, row.best, strict=True)]
    return [row.name, *marked]
