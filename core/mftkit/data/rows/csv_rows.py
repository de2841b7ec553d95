"""Reads rows from CSV and TSV: a header line with the keys, then one row per record (RFC 4180).

A cell is a string, and an empty one is null, so the row has no such key. A cell under a key whose value is never a
text, such as ``messages``, holds JSON.
"""

from __future__ import annotations

import csv
import json
import re
from typing import IO, TYPE_CHECKING, NoReturn

from mftkit.data.rows.conversations import CONVERSATIONS
from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.limits import MOST_BYTES, limited_lines, size_fault
from mftkit.data.rows.source import Numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

JSON_KEYS = frozenset({*CONVERSATIONS, "history", "tools", "functions", "tool_calls"})
"""Keys whose cells hold JSON."""
_LONGEST_NAME = 200
"""Maximum length of a column's name; a longer one is a row."""
_NUMBER = re.compile(r"\s*-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*")
_SHOWN = 8
"""Columns that are listed in a message."""


def csv_rows(file: IO[bytes], name: str, delimiter: str) -> Iterator[Numbered]:
    """Yield the records after the header, each with the line on which it starts.

    Args:
        file: the lines of the file.
        name: its name in messages.
        delimiter: what separates the fields.

    Raises:
        RowError: the header or the quoting cannot be used, so the rest of the file cannot be read either.
    """
    csv.field_size_limit(MOST_BYTES)
    header: list[str] | None = None
    for line, cells in _records(file, name, delimiter):
        if not cells:  # a blank line
            continue
        if header is None:
            header = _header(cells, name, line, delimiter)
        else:
            yield Numbered(line, _row(header, cells))


def parse_cell(key: str, text: str) -> object:
    """Return the value of a cell that is not empty. Raises BadRow if the key needs JSON and the cell holds none."""
    if key in JSON_KEYS:
        return _json_value(key, text)
    if key == "weight" and _NUMBER.fullmatch(text):
        return float(text)
    if key == "train" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    return text


def _records(file: IO[bytes], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    lines = _Lines(limited_lines(file, name), name)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _refuse_quoting(name, start, error)
        yield start, cells


class _Lines:
    """Decodes the lines of a file and counts them; bytes that are not UTF-8 become lone surrogates."""

    def __init__(self, file: Iterable[bytes], name: str) -> None:
        self.number = 0
        self._lines = iter(file)
        self._name = name

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if self.number == 1:
            if line.startswith(b"\x1f\x8b"):
                raise RowError(
                    self._name, 1, "not UTF-8: these are gzip bytes; add .gz to the name of the file"
                )
            if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise RowError(self._name, 1, "not UTF-8 (it looks like UTF-16); save the file as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.decode(errors="surrogateescape")


def _refuse_quoting(name: str, line: int, error: csv.Error) -> NoReturn:
    if "unexpected end of data" in str(error):
        what = "a quote is opened in this record and never closed; the rest cannot be read"
    elif "field limit" in str(error):
        raise RowError(name, line, f"{size_fault(MOST_BYTES + 1)}; the rest cannot be read") from None
    elif "new-line character" in str(error):
        what = "lines end with a carriage return alone; save the file with line feeds"
    else:
        what = f"not valid CSV: {error}; the rest cannot be read"
    hint = "put a field with a delimiter, a line break or a quote in double quotes, and double a quote in it"
    raise RowError(name, line, f"{what}; {hint}") from None


def _header(cells: Sequence[str], name: str, line: int, delimiter: str) -> list[str]:
    """Return the keys; a column without a name, as pandas writes its index, gets its number as name."""
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
    what = _fault_of_text("".join(cells))
    separator = next((mark for mark in (";", "\t", ",", "|") if len(names) == 1 and mark in names[0]), None)
    repeated = next((cell for index, cell in enumerate(names) if cell in names[:index]), None)
    if what is not None:
        what = f"the header is {what}"
    elif not any(cell.strip() for cell in cells):
        what = "the header names no column: the first line must hold the keys of the rows"
    elif odd := next((cell for cell in names if not _may_be_name(cell)), None):
        what = (
            f"the header is missing: the first line must hold the keys of the rows, and it has {_short(odd)}; "
            "add a line such as prompt,answer"
        )
    elif separator is not None:
        known = {",": "commas", "\t": "tabs"}
        what = (
            f"the header has one column, {_short(names[0])}: fields of this file must be separated by "
            f"{known[delimiter]} (.csv: commas, .tsv: tabs)"
        )
    elif repeated is not None:
        what = f"the header names the column {repeated!r} twice; rename one of them"
    else:
        return names
    raise RowError(name, line, what)


def _may_be_name(cell: str) -> bool:
    return len(cell) <= _LONGEST_NAME and "\n" not in cell and not cell.startswith(("{", "["))


def _row(header: Sequence[str], cells: Sequence[str]) -> object:
    if len(cells) != len(header):
        columns = ", ".join(header[:_SHOWN]) + (", ..." if len(header) > _SHOWN else "")
        return BadRow(
            f"{_counted(cells, 'field')}, but the header has {_counted(header, 'column')} ({columns}); a field with a "
            "delimiter or a line break in it must be quoted"
        )
    if (fault := _fault_of_text("".join(cells))) is not None:
        return BadRow(fault)
    try:
        return {key: parse_cell(key, cell) for key, cell in zip(header, cells, strict=True) if cell}
    except BadRow as bad:
        return bad


def _fault_of_text(text: str) -> str | None:
    if "\0" in text:
        return "not text: it contains a NUL character; save the file as UTF-8 text"
    if odd := re.search("[\udc80-\udcff]", text):
        return f"not UTF-8: byte {ord(odd[0]) - 0xDC00:#04x}; save the file as UTF-8"
    return None


def _json_value(key: str, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = "write it as JSON, for example with json.dumps"
        if re.match(r"\s*[\[{]\s*[\[{]?\s*'", text):
            hint = "this is a value as Python prints it; write it with json.dumps"
        what = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        raise BadRow(f"the cell of '{key}' must hold JSON, and it is not valid: {what}; {hint}") from None
    except (ValueError, RecursionError) as error:  # a number with too many digits, or too deep nesting
        raise BadRow(f"the cell of '{key}' must hold JSON, and it is not readable: {error}") from None


def _counted(items: Sequence[str], what: str) -> str:
    return f"{len(items)} {what}{'' if len(items) == 1 else 's'}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:36]} ...")
