"""Rows of data and counts of them, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from mftkit.base.formatting import one_line, whole
from mftkit.data.rows.formats import Conversation
from mftkit.data.rows.row_texts import content_of
from mftkit.display.tables import NumericTable, facts
from mftkit.tools.data_stats.statistics import format_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mftkit.tools.data_stats.statistics import LocatedRow

STYLES = {"system": "magenta", "user": "cyan", "assistant": "green", "text": "green"}


def rows_view(rows: Sequence[LocatedRow]) -> RenderableType:
    """Rows one below the other, turn by turn."""
    return Group(*(part for row in rows for part in _row(row)))


def _row(placed: LocatedRow) -> list[RenderableType]:
    row = placed.row
    told = [placed.place, format_name(row)]
    told += [
        f"{key} {row[key]}" for key in ("id", "data_name", "group") if isinstance(row.get(key), str | int)
    ]
    parts: list[RenderableType] = [Text(f"--- {one_line('  '.join(told))}", style="bold", overflow="fold")]
    content = content_of(row)
    turns = (
        [(turn.role, turn.content) for turn in content.turns]
        if isinstance(content, Conversation)
        else [("text", content.content)]
    )
    for role, text in turns:
        parts += [Text(f"{role}:", style=f"bold {STYLES[role]}"), Text(lines(text), overflow="fold")]
    return [*parts, Text()]


def lines(text: str) -> str:
    r"""Foreign text with its lines, without control characters, which could change the terminal.

    >>> lines("two\nlines and \x1b[31mred")
    'two\nlines and \\x1b[31mred'
    """
    return "\n".join(one_line(line.replace("\t", "    ")) for line in text.split("\n"))


def statistics_view(told: dict[str, Any]) -> RenderableType:
    """Counts of data files, as ``Statistics.dump`` has them."""
    pairs = [("rows", whole(told["rows"])), ("files", _counts(told["files"]))]
    pairs += [("formats", _counts(told["formats"])), ("answers in a row", _counts(told["answers_in_a_row"]))]
    if told["data_name"]:
        pairs.append(("data_name", _counts(told["data_name"])))
    for what, key in (
        ("bad rows", "bad"),
        ("exact duplicates", "exact_repeats"),
        ("near duplicates", "near_repeats"),
        ("contaminated", "contaminated"),
    ):
        found = told[key]
        if found is None:
            pairs.append((what, "not looked for"))
        elif found["rows"] or key != "bad":
            pairs.append((what, whole(found["rows"])))
            pairs += [("", sample) for sample in found["samples"]]
    headers = ["length", "mean", "least", "median", "95 %", "most", "total"]
    keys = ("mean", "least", "median", "of_95_percent", "most", "total")
    table = [[what, *(whole(numbers[key]) for key in keys)] for what, numbers in told["lengths"].items()]
    return Group(facts(pairs), Text(), NumericTable(headers, table)) if table else facts(pairs)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {whole(number)}" for name, number in counts.items()) or "none"
