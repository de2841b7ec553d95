"""A look at the rows of a task: how many there are, how they are read, and how long they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.formatting import place
from mftkit.data.rows.columns import mapped
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import content_digest
from mftkit.data.rows.row_texts import format_name
from mftkit.data.rows.sources import expand
from mftkit.data.rows.values import kind_of
from mftkit.interfaces.task_format import FormatContext, no_note
from mftkit.plugins import installed, kinds
from mftkit.tools.spec_new.columns import CHAT, TEXT, Proposal, propose, text_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.source import Source
    from mftkit.interfaces.task_format import RowContent, TaskFormat

MOST_ROWS = 20_000
"""Rows that are read; of a larger task, the rest is not looked at."""
_COLUMN_ROWS = 200
"""Rows from which the meaning of columns is guessed."""


@dataclass
class Survey:
    """What the rows of a task are."""

    rows: int = 0
    """Rows that can be read."""
    bad: int = 0
    first_bad: str = ""
    """``PATH:LINE: what is wrong`` of the first row that cannot be read."""
    formats: Counter[str] = field(default_factory=Counter)
    """Rows by the keys by which they are read."""
    lengths: list[int] = field(default_factory=list)
    """Length of each row: tokens or characters, as the measure gives it."""
    is_complete: bool = True
    """Whether all rows were read."""
    columns: list[str] = field(default_factory=list)
    """Columns that hold texts."""
    proposal: Proposal = field(default_factory=Proposal)
    is_unclear: bool = False
    """Whether it is not clear which columns are the question and the answer."""

    @property
    def count(self) -> str:
        """The number of rows in words."""
        number = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        return number if self.is_complete else f"more than {number}"


def survey(
    paths: tuple[Path, ...],
    columns: Mapping[str, str] | None,
    measure: Callable[[str], int],
    warn: Callable[[str], None],
) -> Survey:
    """Read a task's rows, up to ``MOST_ROWS`` of them.

    Args:
        paths: files, directories and patterns.
        columns: column to key; None: proposed from the names of the columns if no format fits the rows.
        measure: length of a text.
        warn: receives warnings about files.

    Raises:
        MftError: a file cannot be read.
    """
    sources = expand(paths, "--data", warn)
    proposal: Proposal | None = Proposal(dict(columns or {}))
    first = _first_rows(sources)
    if columns is None and not any(_fits(row, name) for row in first for name in (CHAT, TEXT)):
        proposal = propose(first)
    found = Survey(columns=text_columns(first), proposal=proposal or Proposal(), is_unclear=proposal is None)
    renamed = mapped(sources, found.proposal.columns, "columns", checks_use=False)
    name = CHAT if any(_fits(row, CHAT) for row in _first_rows(renamed)) else TEXT
    found.proposal = replace(found.proposal, is_text=name == TEXT)
    task_format = _format(name)
    for source, line, value in _located(renamed):
        if found.rows + found.bad == MOST_ROWS:
            found.is_complete = False
            break
        try:
            _add(found, value, task_format, measure)
        except BadRow as bad:
            found.bad += 1
            found.first_bad = found.first_bad or f"{place(Path(source.name))}:{line}: {bad}"
    return found


def _add(found: Survey, value: object, task_format: TaskFormat, measure: Callable[[str], int]) -> None:
    if isinstance(value, BadRow):
        raise value
    if not isinstance(value, dict):
        raise BadRow(f"a row must be a JSON object, not {kind_of(value)}")
    content = _read(value, task_format)
    found.rows += 1
    found.formats[format_name(value)] += 1
    found.lengths.append(sum(measure(text) for text in content.texts))


def _format(name: str) -> TaskFormat:
    made: TaskFormat = installed.build(kinds.TASK_FORMAT, name, {})
    return made


def _read(row: JsonObject, task_format: TaskFormat) -> RowContent:
    """Read a row as a run does. Raises BadRow."""
    content = task_format.read(row, FormatContext("", 0, no_note))
    content_digest("", content)
    return content


def _fits(row: JsonObject, name: str) -> bool:
    try:
        _read(row, _format(name))
    except BadRow:
        return False
    return True


def _first_rows(sources: tuple[Source, ...]) -> list[JsonObject]:
    rows = []
    for _source, _line, value in _located(sources):
        if isinstance(value, dict) and value:
            rows.append(value)
        if len(rows) == _COLUMN_ROWS:
            break
    return rows


def _located(sources: tuple[Source, ...]) -> Iterator[tuple[Source, int, object]]:
    for source in sources:
        for line, value in source.rows():
            yield source, line, value
