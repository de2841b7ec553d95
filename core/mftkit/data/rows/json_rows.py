"""Reads rows from JSON Lines and from JSON arrays."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.limits import limited_lines, size_fault
from mftkit.data.rows.source import Numbered, without_nulls

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP = b"\x1f\x8b"
_HEAD = 1 << 20
"""Bytes in which the first character that is not white space is searched."""


def json_line_rows(file: IO[bytes], name: str, unread: int = 0) -> Iterator[Numbered]:
    """Yield one row per line that is not blank; the first ``unread`` are not parsed, and their values are None."""
    # Lines end at \n only, not at U+2028 and the like.
    for number, line in enumerate(limited_lines(file, name), 1):
        if number == 1 and line.startswith(_GZIP):
            raise RowError(name, 1, "not UTF-8: these are gzip bytes; name the file .jsonl.gz")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.strip()
        if not line:
            continue
        if unread:
            unread -= 1
            yield Numbered(number, None)
        else:
            yield Numbered(number, _parsed(line, number))


def _parsed(line: bytes, number: int) -> object:
    if (fault := size_fault(len(line))) is not None:
        return BadRow(fault)
    try:
        return _without_nulls(json.loads(line.decode()))
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


def starts_with_bracket(file: IO[bytes]) -> bool:
    """Return True if the file is a JSON array and not JSON Lines; the position in the file stays at its start."""
    head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    return head.startswith(b"[")


def array_rows(content: bytes, name: str) -> Iterator[Numbered]:
    """Yield the elements of a JSON array, numbered from 1. Raises RowError with the line of a syntax error."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RowError(
            name, line, f"not UTF-8: byte {content[error.start]:#04x}; save the file as UTF-8"
        ) from None
    decoder, number = json.JSONDecoder(), 0
    position = text.index("[") + 1
    while True:
        position = _skip_space(text, position)
        if text[position : position + 1] == "]" or position == len(text):
            break
        start = position
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            what = f"not valid JSON: {error.msg} (column {error.colno}); the rest cannot be read"
            raise RowError(name, error.lineno, what) from None
        except (ValueError, RecursionError) as error:
            what = f"not readable as JSON: {error}"
            raise RowError(name, _line(text, position), what) from None
        number += 1
        fault = size_fault(position - start)
        yield Numbered(number, _without_nulls(value) if fault is None else BadRow(fault))
        position = _after_element(text, position, name)
    if text[position + 1 :].strip() or position == len(text):
        what = (
            "the JSON array is not closed" if position == len(text) else "there is text after the JSON array"
        )
        raise RowError(name, _line(text, position), what)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


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
    what = "not valid JSON: the elements of the array must be separated by single commas"
    raise RowError(name, _line(text, position), what)


def _without_nulls(value: object) -> object:
    return without_nulls(value) if isinstance(value, dict) else value
