"""Rows whose columns have other names than the keys by which rows are read: ``tasks[].columns``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.data.rows.csv_rows import parse_cell
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.files import FileSource
from mftkit.data.rows.source import Digest, Numbered, Source
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mftkit.base.json_types import JsonObject

_MOST_KEYS = 1000
"""Columns that are remembered for the message about one that no row has."""
_SHOWN = 20


@dataclass
class ColumnUse:
    """Which of the columns were in any row of a task's sources; one that was in none is an error."""

    columns: Mapping[str, str]
    where: str
    """The key path in the spec, for messages."""
    unread: set[str]
    """Names of the sources that were not read to their end."""
    used: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    """The keys of all rows."""

    def add(self, row: JsonObject) -> None:
        """Note the keys of a row."""
        self.used.update(key for key in row if key in self.columns)
        if len(self.keys) < _MOST_KEYS:
            self.keys.update(dict.fromkeys(row))

    def finish(self, source: str) -> None:
        """Note that a source was read to its end; the last one raises MftError for a column that no row has."""
        self.unread.discard(source)
        unused = [column for column in self.columns if column not in self.used]
        if self.unread or not unused or not self.keys:
            return
        known = ", ".join(map(repr, list(self.keys)[:_SHOWN])) + (", ..." if len(self.keys) > _SHOWN else "")
        close = nearest(unused[0], self.keys)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise MftError(
            f"{self.where}.{unused[0]}: no row has a value in the column {unused[0]!r} (columns: {known}){hint}"
        )


@dataclass(frozen=True)
class MappedSource:
    """A source whose columns are renamed to the keys by which rows are read."""

    source: Source
    columns: Mapping[str, str]
    use: ColumnUse | None = None
    """None: a column may be in no row."""

    @property
    def name(self) -> str:
        """Name of the source in messages: that of the source whose columns these are."""
        return self.source.name

    def digest(self) -> Digest:
        """Return the identity of the content and of the columns' new names."""
        sha256, lines = self.source.digest()
        made_from = json.dumps([sha256, sorted(self.columns.items())])
        return Digest(hashlib.sha256(made_from.encode()).hexdigest(), lines)

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows with the new names; a row that has a new name already is a ``BadRow``."""
        return self.renamed(self.source.rows(), self.use)

    def renamed(self, rows: Iterable[Numbered], use: ColumnUse | None) -> Iterator[Numbered]:
        """Yield rows of the source with the new names, and note in ``use`` which columns they have."""
        has_text_cells = isinstance(self.source, FileSource) and self.source.has_text_cells
        for line, value in rows:
            if not isinstance(value, dict):
                yield Numbered(line, value)
                continue
            if use is not None:
                use.add(value)
            try:
                yield Numbered(line, self._renamed(value, has_text_cells=has_text_cells))
            except BadRow as bad:
                yield Numbered(line, bad)
        if use is not None:
            use.finish(self.name)

    def _renamed(self, row: JsonObject, *, has_text_cells: bool) -> JsonObject:
        renamed: JsonObject = {}
        for column, value in row.items():
            key = self.columns.get(column, column)
            if key in renamed or (key != column and key in row and key not in self.columns):
                raise BadRow(
                    f"the row has '{key}' itself, and columns gives it '{column}' as well; remove or rename one of them"
                )
            is_cell = has_text_cells and key != column and isinstance(value, str)
            renamed[key] = parse_cell(key, value) if is_cell else value
        return renamed


def mapped(
    sources: Sequence[Source],
    columns: Mapping[str, str],
    where: str,
    *,
    known_keys: Collection[str] | None = None,
    checks_use: bool,
) -> tuple[Source, ...]:
    """Return the sources with their columns renamed.

    Args:
        sources: the sources.
        columns: a column's name to its key; empty: the sources are returned as they are.
        where: the key path in the spec, for messages.
        known_keys: the keys by which rows are read; None: any key may be read.
        checks_use: whether a column that is in no row of any source is an error.

    Raises:
        MftError: a column is mapped to a key that is not read.
    """
    for column, key in columns.items():
        if known_keys is not None and key not in known_keys:
            close = nearest(key, known_keys)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(known_keys))
            raise MftError(
                f"{where}.{column}: rows are not read by the key {key!r} (known keys: {known}){hint}"
            )
    if not columns:
        return tuple(sources)
    use = ColumnUse(columns, where, {source.name for source in sources}) if checks_use else None
    return tuple(MappedSource(source, columns, use) for source in sources)
