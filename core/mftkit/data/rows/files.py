"""Reads one data file by its ending, row by row with line numbers."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.formats import READ_KEYS
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".parquet")
_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 20


class Numbered(NamedTuple):
    """One row of a source, not validated yet."""

    line: int
    """Line number from 1, blank lines included; in a Parquet file or a hub data set the number of the row."""
    value: Any
    """The JSON value, or a ``BadRow`` if it cannot be read."""


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


@dataclass(frozen=True)
class FileSource:
    """A data file."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the source in messages: its path."""
        return str(self.path)

    def digest(self) -> Digest:
        """Return the sha256 of the file's ending (which decides how it is read) and bytes, and its number of lines."""
        name = self.path.name.lower()
        ending = next((known for known in ENDINGS if name.endswith(known)), "")
        total, lines, last = hashlib.sha256(ending.encode()), 0, b"\n"
        with self._opened() as file:
            while block := file.read(_BLOCK):
                total.update(block)
                lines += block.count(b"\n")
                last = block[-1:]
        return Digest(total.hexdigest(), lines + (last != b"\n") if ending == ".jsonl" else None)

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows, read by the file's ending (see ``Source``)."""
        ending = self.path.name.lower()
        with self._opened() as file:
            if ending.endswith(".parquet"):
                yield from _parquet_rows(file, self.name)
            elif ending.endswith(".gz"):
                yield from _gzip_lines(file, self.name)
            elif ending.endswith(".json") and _starts_with_bracket(file):
                yield from _array_rows(file.read(), self.name)
            else:
                yield from _json_lines(file, self.name)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise MftError(f"{self.path}: cannot be read: {error.strerror}") from None
        with file:
            yield file


def _json_lines(file: Iterable[bytes], name: str) -> Iterator[Numbered]:
    for number, line in enumerate(file, 1):  # binary: lines end at \n only, not at U+2028 and the like
        if number == 1 and line.startswith(_GZIP):
            raise RowError(name, 1, "not UTF-8: these are gzip bytes; name the file .jsonl.gz")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.strip()
        if line:
            yield Numbered(number, _parsed(line, number))


def _gzip_lines(file: IO[bytes], name: str) -> Iterator[Numbered]:
    number = 0
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            for row in _json_lines(unpacked, name):
                number = row.line
                yield row
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        what = f"the gzip file is damaged or not gzip ({error}); the rest cannot be read"
        raise RowError(name, number + 1, what) from None


def _parsed(line: bytes, number: int) -> object:
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        hint = " (it looks like UTF-16)" if line[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        return BadRow(
            f"not UTF-8{hint}: byte {error.object[error.start]:#04x} at {error.start}; save the file as UTF-8"
        )
    except json.JSONDecodeError as error:
        if number == 1 and line.startswith(b"["):
            return BadRow("this looks like one JSON array; name the file .json, or write one object per line")
        return BadRow(f"not valid JSON: {error.msg.removesuffix(' at')} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number with too many digits, or too deep nesting
        return BadRow(f"not readable as JSON: {error}")


def _starts_with_bracket(file: IO[bytes]) -> bool:
    head = file.read(_BLOCK).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    return head.startswith(b"[")


def _array_rows(content: bytes, name: str) -> Iterator[Numbered]:
    """Yield the elements of a JSON array, each with the line on which it starts."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RowError(
            name, line, f"not UTF-8: byte {content[error.start]:#04x}; save the file as UTF-8"
        ) from None
    decoder, line, seen = json.JSONDecoder(), 1, 0
    position = text.index("[") + 1
    while True:
        position = _skip_space(text, position)
        line, seen = line + text.count("\n", seen, position), position
        if text[position : position + 1] == "]" or position == len(text):
            break
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            what = f"not valid JSON: {error.msg} (column {error.colno}); the rest cannot be read"
            raise RowError(name, error.lineno, what) from None
        except (ValueError, RecursionError) as error:
            raise RowError(name, line, f"not readable as JSON: {error}") from None
        yield Numbered(line, value)
        position = _after_element(text, position, name)
    if text[position + 1 :].strip() or position == len(text):
        what = (
            "the JSON array is not closed" if position == len(text) else "there is text after the JSON array"
        )
        raise RowError(name, line, what)


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _after_element(text: str, position: int, name: str) -> int:
    position = _skip_space(text, position)
    if text[position : position + 1] == ",":
        following = _skip_space(text, position + 1)
        if text[following : following + 1] != "]":
            return following
    elif text[position : position + 1] in ("]", ""):
        return position
    line = text.count("\n", 0, position) + 1
    raise RowError(name, line, "not valid JSON: the elements of the array must be separated by single commas")


def _parquet_rows(file: IO[bytes], name: str) -> Iterator[Numbered]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        table = pq.ParquetFile(file)
        columns = [column for column in table.schema_arrow.names if column in READ_KEYS]
        number = 0
        for batch in table.iter_batches(batch_size=1024, columns=columns or None):
            for row in batch.to_pylist():
                number += 1
                yield Numbered(number, without_nulls(row))
    except pa.ArrowException as error:
        raise MftError(f"{name}: cannot be read as Parquet: {error}") from None


def without_nulls(row: JsonObject) -> JsonObject:
    """Return the row without its null columns: a table has every column in every row."""
    return {key: value for key, value in row.items() if value is not None}
