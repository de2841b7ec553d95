"""Writing: messages to stderr, results to stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def tell(message: str) -> None:
    """A message for the person."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def result(text: str) -> None:
    """A result, for the person or for another program."""
    sys.stdout.write(f"{text}\n")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table as a result: drawn on a terminal, plain lines with whole cells elsewhere."""
    if not sys.stdout.isatty():
        _plain([headings, *rows])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headings)
    for column in drawn.columns:
        column.overflow = "fold"
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout).print(drawn)


def _plain(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
