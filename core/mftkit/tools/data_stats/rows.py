"""Rows of data files with the place where they stand; read as a task's files are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.row_texts import row_texts
from mftkit.data.rows.sources import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.files import Source
    from mftkit.data.rows.row_texts import RowTexts


class PlacedRow(dict[str, Any]):
    """A row as filters get it, which still knows its place when a filter drops it."""

    place: str = ""
    """``PATH:LINE``."""


class LocatedRow(NamedTuple):
    """A row and where it stands."""

    source: str
    line: int
    row: JsonObject
    texts: RowTexts

    @property
    def place(self) -> str:
        """``PATH:LINE``."""
        return f"{self.source}:{self.line}"

    def placed(self) -> PlacedRow:
        """Return the row for a filter."""
        row = PlacedRow(self.row)
        row.place = self.place
        return row


def data_sources(paths: Sequence[Path], warn: Callable[[str], None]) -> tuple[Source, ...]:
    """Return the files that paths, globs and directories name. Raises MftError for one that gives no file."""
    return expand(paths, "PATH", warn)


def iter_located_rows(
    sources: Iterable[Source], on_bad_row: Callable[[RowError], None] | None = None
) -> Iterator[LocatedRow]:
    """Yield every row that can be read as a chat or as a text.

    A bad row goes to ``on_bad_row``; without it, it is raised as RowError.
    """
    for source in sources:
        for numbered in source.rows():
            try:
                if isinstance(numbered.value, BadRow):
                    raise numbered.value
                if not isinstance(numbered.value, dict):
                    raise BadRow("a row must be a JSON object")
                texts = row_texts(numbered.value)
            except BadRow as bad:
                error = RowError(source.name, numbered.line, str(bad))
                if on_bad_row is None:
                    raise error from None
                on_bad_row(error)
                continue
            yield LocatedRow(source.name, numbered.line, numbered.value, texts)


def sampled(rows: Iterable[LocatedRow], number: int, seed: int) -> list[LocatedRow]:
    """Draw ``number`` rows uniformly in one pass; they are returned in their original order."""
    drawn = random.Random(seed)
    kept: list[tuple[int, LocatedRow]] = []
    for index, row in enumerate(rows):
        if len(kept) < number:
            kept.append((index, row))
        elif (place := drawn.randrange(index + 1)) < number:
            kept[place] = (index, row)
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]
