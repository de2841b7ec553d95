"""Printing: messages to stderr, results to stdout."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING

from mftkit.base.formatting import escaped, escaped_json, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType


def show_message(message: str) -> None:
    """Print a message for the user; control characters, which could change the terminal, are escaped."""
    sys.stderr.write(f"{escaped(message)}\n")
    sys.stderr.flush()


def result(text: str) -> None:
    """Print a result, for the user or for another program; control characters are escaped."""
    sys.stdout.write(f"{escaped(text)}\n")


def json_result(value: object) -> None:
    """Print a JSON value as a result, without control characters in its text."""
    sys.stdout.write(f"{escaped_json(json.dumps(value, indent=2, ensure_ascii=False))}\n")


def show_view(view: RenderableType) -> None:
    """Print a view as a result: drawn on a terminal, plain lines elsewhere."""
    from rich.console import Console

    from mftkit.display.tables import as_text, color_system

    if sys.stdout.isatty():
        Console(color_system=color_system(), highlight=False, markup=False, emoji=False).print(view)
    else:
        result(as_text(view))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as a result: drawn in a terminal, plain lines with uncut cells elsewhere."""
    line = cache(one_line)  # many cells have the same text
    if not sys.stdout.isatty():
        _plain([headings, *([line(cell) for cell in row] for row in rows)])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mftkit.display.tables import color_system

    drawn = Table(*headings)
    for column in drawn.columns:
        column.overflow = "fold"
    for row in rows:
        drawn.add_row(*(Text(line(cell)) for cell in row))
    Console(file=sys.stdout, color_system=color_system()).print(drawn)


def _plain(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
