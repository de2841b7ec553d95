"""Reads one data file by its ending, row by row."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, cast

from mftkit.data.rows.csv_rows import csv_rows
from mftkit.data.rows.faults import RowError
from mftkit.data.rows.json_rows import array_rows, json_line_rows, starts_with_bracket
from mftkit.data.rows.limits import check_array
from mftkit.data.rows.parquet_rows import parquet_rows
from mftkit.data.rows.source import Digest, Numbered, Source, without_nulls
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ENDINGS", "Digest", "FileSource", "Numbered", "Source", "without_nulls"]

ENDINGS = (
    ".jsonl",
    ".jsonl.gz",
    ".json",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".tsv.gz",
    ".parquet",
)
_BY_LINES = (".jsonl", ".csv", ".tsv")
"""Endings of files that have at most as many rows as lines."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class FileSource:
    """A data file."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the source in messages: its path."""
        return str(self.path)

    @property
    def has_text_cells(self) -> bool:
        """Whether every value is read from a text, as in CSV, so that its type follows from its key."""
        return self._ending.startswith((".csv", ".tsv"))

    def digest(self) -> Digest:
        """Return the sha256 of the file's ending (which decides how it is read) and bytes, and its number of lines."""
        ending = self._ending
        total, lines, last = hashlib.sha256(ending.encode()), 0, b"\n"
        with self._opened() as file:
            while block := file.read(_BLOCK):
                total.update(block)
                lines += block.count(b"\n")
                last = block[-1:]
        return Digest(total.hexdigest(), lines + (last != b"\n") if ending in _BY_LINES else None)

    def rows(self, unread: int = 0) -> Iterator[Numbered]:
        """Yield the rows, read by the file's ending (see ``Source``); the first ``unread`` values may be None."""
        ending = self._ending
        with self._opened() as file:
            if ending == ".parquet":
                yield from parquet_rows(file, self.name, unread)
            elif ending.endswith(".gz"):
                yield from _gzip_rows(file, self.name, partial(self._line_rows, unread=unread))
            elif ending == ".json" and starts_with_bracket(file):
                check_array(self.path.stat().st_size, self.name)
                yield from array_rows(file.read(), self.name)
            else:
                yield from self._line_rows(file, unread)

    @property
    def is_read_whole(self) -> bool:
        """Whether the file must be in memory to be read, as one JSON array must."""
        return self._ending == ".json"

    def _line_rows(self, lines: IO[bytes], unread: int) -> Iterator[Numbered]:
        if self.has_text_cells:
            return csv_rows(lines, self.name, "," if self._ending.startswith(".csv") else "\t")
        return json_line_rows(lines, self.name, unread)

    @property
    def _ending(self) -> str:
        name = self.path.name.lower()
        return next((known for known in ENDINGS if name.endswith(known)), "")

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise MftError(f"{self.path}: cannot be read: {error.strerror}") from None
        with file:
            yield file


def _gzip_rows(
    file: IO[bytes], name: str, read: Callable[[IO[bytes]], Iterator[Numbered]]
) -> Iterator[Numbered]:
    number = 0
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            for row in read(cast("IO[bytes]", unpacked)):
                number = row.line
                yield row
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        what = f"the gzip file is damaged or not gzip ({error}); the rest cannot be read"
        raise RowError(name, number + 1, what) from None
