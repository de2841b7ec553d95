"""Tables that cut nothing off: names wrap, numbers do not, and rows become a list if columns do not fit."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mftkit.base.formatting import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import ConsoleOptions, RenderableType, RenderResult

UNBOUNDED = 100_000
"""Columns of output that goes to a file or a pipe."""
GAP = 2
NARROWEST_NAME = 8


@dataclass(frozen=True)
class NumericTable:
    """Rows of a name and its numbers; ``headers`` begin with that of the name, and may have several lines."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    footer: Sequence[str] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw a table if the width allows it, otherwise a list."""
        rows = [*self.rows, *([self.footer] if self.footer else [])]
        widths = [
            max([_width(header), *(cell_len(row[i]) for row in rows)])
            for i, header in enumerate(self.headers)
        ]
        room = options.max_width - sum(width + GAP for width in widths[1:])
        yield self._table(widths) if room >= min(widths[0], NARROWEST_NAME) else self._list(rows)

    def _table(self, widths: Sequence[int]) -> Table:
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
        for i, (header, width) in enumerate(zip(self.headers, widths, strict=True)):
            if i == 0:
                table.add_column(Text(header), overflow="fold", vertical="top")
            else:
                table.add_column(Text(header), justify="right", no_wrap=True, min_width=width)
        for row in self.rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        if self.footer:
            table.add_row(*(Text(cell, style="bold") for cell in self.footer))
        return table

    def _list(self, rows: Iterable[Sequence[str]]) -> Table:
        table = Table.grid()
        table.add_column(overflow="fold")
        labels = [header.replace("\n", " ") for header in self.headers]
        for name, *cells in rows:
            numbers = ", ".join(f"{label} {cell}" for label, cell in zip(labels[1:], cells, strict=True))
            table.add_row(Text(f"{one_line(name)}: {numbers}"))
        return table


def _width(header: str) -> int:
    return max(cell_len(line) for line in header.split("\n"))


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Labelled lines, the values wrapped under each other."""
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(Text(label), Text(one_line(value)))
    return grid


@dataclass(frozen=True)
class Flow:
    """Short texts beside each other, as many as a line holds; each stays whole."""

    texts: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of texts; those after the first are indented."""
        line = Text(overflow="fold")
        for text in self.texts:
            if line.cell_len + GAP + text.cell_len > options.max_width and line.plain.strip():
                yield line
                line = Text(" " * GAP, overflow="fold")
            elif line:
                line.append(" " * GAP)
            line.append_text(text)
        yield line


def color_system() -> Literal["auto"] | None:
    """Return the argument of a rich console: no styles at all if the variable NO_COLOR is set."""
    return None if os.environ.get("NO_COLOR") else "auto"


def as_text(renderable: RenderableType, width: int | None = None) -> str:
    """Plain text without escape codes; ``width`` None: as wide as needed."""
    file = io.StringIO()
    console = Console(
        force_jupyter=False,  # it renders text, not the output of a cell
        file=file,
        width=width or UNBOUNDED,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
    )
    # Nothing is wider than the console, and looking for it would read the spaces after each text up to its width.
    console.print(renderable, highlight=False, markup=False, emoji=False, crop=False)
    return "\n".join(line.rstrip() for line in file.getvalue().split("\n")).rstrip("\n")
