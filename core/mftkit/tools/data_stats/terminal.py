"""Terminal output of ``mft data``: rows turn by turn, and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from mftkit.base.formatting import one_line, whole
from mftkit.data.rows.row_texts import content_of, format_name
from mftkit.display.tables import NumericTable, facts
from mftkit.interfaces.conversation import Conversation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mftkit.tools.data_stats.rows import LocatedRow
    from mftkit.tools.data_stats.statistics import Found, StatisticsJson

STYLES = {
    "system": "magenta",
    "developer": "magenta",
    "tool": "yellow",
    "user": "cyan",
    "assistant": "green",
    "text": "green",
}


def rows_view(rows: Sequence[LocatedRow]) -> RenderableType:
    """Show rows one below the other, turn by turn."""
    return Group(*(part for row in rows for part in _row(row)))


def _row(located: LocatedRow) -> list[RenderableType]:
    row = located.row
    title = [located.place, format_name(row)]
    title += [
        f"{key} {row[key]}" for key in ("id", "data_name", "group") if isinstance(row.get(key), str | int)
    ]
    parts: list[RenderableType] = [Text(f"--- {one_line('  '.join(title))}", style="bold", overflow="fold")]
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
    r"""Return text from a data file without control characters, which could change the terminal.

    >>> lines("two\nlines and \x1b[31mred")
    'two\nlines and \\x1b[31mred'
    """
    return "\n".join(one_line(line.replace("\t", "    ")) for line in text.split("\n"))


def statistics_view(statistics: StatisticsJson) -> RenderableType:
    """Show counts of data files."""
    pairs = [("rows", whole(statistics["rows"])), ("files", _counts(statistics["files"]))]
    pairs += [
        ("formats", _counts(statistics["formats"])),
        ("answers in a row", _counts(statistics["answers_in_a_row"])),
    ]
    if statistics["data_name"]:
        pairs.append(("data_name", _counts(statistics["data_name"])))
    if statistics["bad"]["rows"]:
        pairs += _found("bad rows", statistics["bad"])
    pairs += _found("exact duplicates", statistics["exact_repeats"])
    pairs += _found("near duplicates", statistics["near_repeats"])
    pairs += _found("contaminated", statistics["contaminated"])
    for name, dropped in statistics["filters"].items():
        pairs += _found(f"dropped by {name}", dropped)
    headers = ["length", "mean", "least", "median", "95 %", "most", "total"]
    keys = ("mean", "least", "median", "of_95_percent", "most", "total")
    table = [
        [what, *(whole(numbers[key]) for key in keys)] for what, numbers in statistics["lengths"].items()
    ]
    return Group(facts(pairs), Text(), NumericTable(headers, table)) if table else facts(pairs)


def _found(what: str, found: Found | None) -> list[tuple[str, str]]:
    if found is None:
        return [(what, "not counted")]
    return [(what, whole(found["rows"])), *(("", sample) for sample in found["samples"])]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {whole(number)}" for name, number in counts.items()) or "none"
