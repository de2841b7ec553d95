"""The rows of a task's sources as an endless stream, read once from the start, or from any position."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mftkit.data.rows.columns import MappedSource
from mftkit.data.rows.files import FileSource
from mftkit.data.rows.hub import HubSource
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.data.rows.source import Numbered, Source


class RowStream:
    """The rows of all sources, one source after another; after the last row it starts again from the first one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.position = 0
        """Rows before the next one, over all passes."""
        self._rows: Iterator[tuple[int, Numbered]] | None = None
        """The rest of the present pass; None: nothing is open."""
        self.length: int | None = None
        """Rows of the sources together; None until their end was reached."""

    def read(self, start: int, count: int) -> Iterator[tuple[int, Numbered]]:
        """Yield ``count`` rows from position ``start`` on, each with the index of its source.

        Only a position other than the present one makes it read the sources from their beginning again.

        Raises:
            MftError: the sources have no rows, or one cannot be read.
        """
        if self._rows is None or start != self.position:
            self._seek(start)
        for _ in range(count):
            yield self._next()

    def passes_at(self, position: int) -> int | None:
        """Return how often the stream has started again before a position; None if its length is not known yet."""
        return None if self.length is None else max(0, position - 1) // self.length

    def _seek(self, start: int) -> None:
        rest = start if self.length is None else start % self.length
        self._rows = self._pass(rest)
        skipped = sum(1 for _ in islice(self._rows, rest))
        if skipped < rest:  # the sources have fewer rows than that, so their number is known now
            self._seek(start)
        self.position = start

    def _next(self) -> tuple[int, Numbered]:
        assert self._rows is not None, "the stream is open"
        found = next(self._rows, None)
        if found is None:
            self._rows = self._pass(0)
            found = next(self._rows)
        self.position += 1
        return found

    def _pass(self, unread: int) -> Iterator[tuple[int, Numbered]]:
        """Yield all rows once; the values of the first ``unread`` may be None."""
        number = 0
        for index, source in enumerate(self._sources):
            for numbered in _rows_of(source, max(0, unread - number)):
                number += 1
                yield index, numbered
        if not number:
            names = ", ".join(source.name for source in self._sources[:3])
            raise MftError(f"{names}: contains no rows")
        self.length = number


def _rows_of(source: Source, unread: int) -> Iterator[Numbered]:
    """Yield the rows of a source without a second pass; the values of the first ``unread`` may be None."""
    if isinstance(source, MappedSource):
        # What the columns of all rows are is known only by reading all of them.
        use = None if unread else source.use
        return source.renamed(_rows_of(source.source, unread), use)
    if isinstance(source, FileSource):
        return source.rows(unread)
    if isinstance(source, HubSource):
        return source.stream(unread)
    return source.rows()
