"""What a source of rows is: a name, a digest, and numbered rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.base.json_types import JsonObject


class Numbered(NamedTuple):
    """One row of a source, not validated yet."""

    line: int
    """Line from 1 on which the row starts, blank lines included. In a JSON array, a Parquet file and a data set, which
    have no lines, the number of the row.
    """
    value: Any
    """The JSON value, or a ``BadRow`` if it cannot be read. An object has no key whose value is null."""


class Digest(NamedTuple):
    """The identity of a source's content."""

    sha256: str
    lines: int | None
    """Upper limit on the number of rows, if it is known without parsing."""


class Source(Protocol):
    """A source of rows."""

    @property
    def name(self) -> str:
        """Name of the source in messages: its path."""

    def digest(self) -> Digest:
        """Return the identity of the content."""

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows; a line that cannot be read has a ``BadRow`` as its value.

        Raises RowError if the rest of the file cannot be read.
        """


def without_nulls(row: JsonObject) -> JsonObject:
    """Return the row without keys whose value is null: they mean the same as an absent key.

    A table has every column in every row, and so have JSON Lines that were written from one. Nulls inside the values
    stay: they are data, such as the arguments of a tool call.
    """
    if None not in row.values():
        return row
    return {key: value for key, value in row.items() if value is not None}
