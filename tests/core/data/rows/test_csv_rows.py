"""CSV and TSV: what is read, how rows are named, and what is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING

import pytest

from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.files import FileSource

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: bytes) -> list[tuple[int, object]]:
    path.write_bytes(content)
    return [
        (line, str(value) if isinstance(value, BadRow) else value) for line, value in FileSource(path).rows()
    ]


def the_bad_row(path: Path, content: bytes) -> str:
    """The fault of the first row after the header; the row after it is good."""
    path.write_bytes(content)
    (line, bad), (_, good) = FileSource(path).rows()
    assert line == 2
    assert isinstance(bad, BadRow)
    assert isinstance(good, dict)
    return str(bad)


ROWS = [{"prompt": "a, b", "answer": 'say "x"\nand y'}, {"prompt": "c\u2028d\x1e", "answer": "é"}]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".TSV.gz"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_quoted_fields_hold_line_breaks_and_rows_are_named_by_their_first_line(
    tmp_path: Path, ending: str, line_end: str, mark: bytes
) -> None:
    text = io.StringIO()
    delimiter = "\t" if "tsv" in ending.lower() else ","
    writer = csv.DictWriter(text, ["prompt", "answer"], delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(ROWS)
    content = mark + text.getvalue().encode()
    content = gzip.compress(content) if ending.endswith("gz") else content
    assert read(tmp_path / f"a{ending}", content) == [(2, ROWS[0]), (4, ROWS[1])]


def test_blank_lines_are_no_rows_and_empty_cells_no_keys(tmp_path: Path) -> None:
    content = b'\nprompt,answer,system\n\na,b,\nc,d,""\n\n\ne,f,g'
    assert read(tmp_path / "a.csv", content) == [
        (4, {"prompt": "a", "answer": "b"}),
        (5, {"prompt": "c", "answer": "d"}),
        (8, {"prompt": "e", "answer": "f", "system": "g"}),
    ]


def test_a_column_without_a_name_is_kept_under_its_number(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", b",prompt, answer\n0,a,b\n") == [
        (2, {"column 1": "0", "prompt": "a", "answer": "b"})
    ]


def test_cells_that_are_no_texts(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "messages", "tools", "weight", "train", "note"])
    writer.writerow(["7", json.dumps(turns), "[]", "0.5", "False", "1.5"])
    writer.writerow(["8", json.dumps(turns), '[{"a": null}]', "2", "last", "true"])
    assert read(tmp_path / "a.csv", text.getvalue().encode()) == [
        (2, {"id": "7", "messages": turns, "tools": [], "weight": 0.5, "train": False, "note": "1.5"}),
        (
            3,
            {
                "id": "8",
                "messages": turns,
                "tools": [{"a": None}],
                "weight": 2.0,
                "train": "last",
                "note": "true",
            },
        ),
    ]


@pytest.mark.parametrize("size", [131_073, 2_000_000])
def test_a_long_field_is_read(tmp_path: Path, size: int) -> None:
    content = b'prompt,answer\na,"' + b"x" * size + b'"\n'
    assert read(tmp_path / "a.csv", content) == [(2, {"prompt": "a", "answer": "x" * size})]


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (b"a,b,c", ["3 fields, but the header has 2 columns (prompt, answer)", "must be quoted"]),
        (b"a", ["1 field, but the header has 2 columns"]),
        (b"a,\xff", ["not UTF-8: byte 0xff", "save the file as UTF-8"]),
        (b"a,\xc3", ["not UTF-8: byte 0xc3"]),
        (b"a\0,b", ["NUL character"]),
    ],
    ids=["too many", "too few", "latin 1", "half a character", "nul"],
)
def test_a_bad_row_does_not_hide_those_after_it(tmp_path: Path, row: bytes, parts: list[str]) -> None:
    bad = the_bad_row(tmp_path / "a.csv", b"prompt,answer\n" + row + b"\nc,d\n")
    assert [part for part in parts if part not in bad] == []


@pytest.mark.parametrize(
    ("key", "cell", "parts"),
    [
        ("messages", "hello", ["'messages' must hold JSON", "not valid", "json.dumps"]),
        ("tools", "[{'name': 'f'}]", ["'tools' must hold JSON", "as Python prints it"]),
        ("history", "[" * 100_000, ["'history' must hold JSON", "not readable"]),
    ],
)
def test_a_cell_that_should_hold_json(tmp_path: Path, key: str, cell: str, parts: list[str]) -> None:
    bad = the_bad_row(tmp_path / "a.tsv", f"{key}\tprompt\n{cell}\tx\n[]\tx\n".encode())
    assert [part for part in parts if part not in bad] == []


@pytest.mark.parametrize(
    ("name", "content", "start", "parts"),
    [
        ("a.csv", b'prompt,answer\na,b\nc,"d\ne,f\n', ":3: ", ["a quote is opened", "never closed", "double quotes"]),
        ("a.csv", b'prompt,answer\n"a"b,c\n', ":2: ", ["not valid CSV", "the rest cannot be read"]),
        ("a.csv", b"prompt,answer\ra,b\r", ":1: ", ["carriage return", "line feeds"]),
        ("a.csv", b"prompt,answer,prompt\na,b,c\n", ":1: ", ["'prompt' twice", "rename"]),
        ("a.csv", b"\n,,\na,b,c\n", ":2: ", ["names no column"]),
        ("a.csv", b'"[{""role"": ""user""}]",x\n', ":1: ", ["header is missing", "prompt,answer"]),
        ("a.csv", b'"a question\nof two lines",x\n', ":1: ", ["header is missing"]),
        ("a.csv", b"prompt;answer\na;b\n", ":1: ", ["one column, 'prompt;answer'", "separated by commas"]),
        ("a.tsv", b"prompt,answer\na,b\n", ":1: ", ["one column", "separated by tabs"]),
        ("a.csv", b"pr\xffmpt,answer\na,b\n", ":1: ", ["the header is not UTF-8: byte 0xff"]),
        ("a.csv", b"p\0rompt,answer\na,b\n", ":1: ", ["the header is not text", "NUL"]),
        ("a.csv", "prompt,answer\n".encode("utf-16"), ":1: ", ["UTF-16", "save the file as UTF-8"]),
        ("a.csv", gzip.compress(b"prompt,answer\n", mtime=0), ":1: ", ["gzip", "add .gz"]),
        ("a.csv.gz", b"prompt,answer\n", ":1: ", ["damaged or not gzip"]),
        ("a.tsv.gz", gzip.compress(b"prompt\tanswer\na\tb\n" * 2000, mtime=0)[:-4], ":", ["the gzip file is damaged"]),
    ],
)  # fmt: skip
def test_a_file_of_which_nothing_more_can_be_read(
    tmp_path: Path, name: str, content: bytes, start: str, parts: list[str]
) -> None:
    with pytest.raises(RowError) as caught:
        read(tmp_path / name, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}{start}")
    assert [part for part in parts if part not in message] == []
    assert "\n" not in message


def test_a_file_without_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", b"") == read(tmp_path / "b.csv", b"prompt,answer\n") == []


def test_the_digest_knows_the_delimiter_and_counts_lines(tmp_path: Path) -> None:
    for name in ("a.csv", "a.tsv"):
        (tmp_path / name).write_bytes(b"text\na\nb")
    one, other = (FileSource(tmp_path / name).digest() for name in ("a.csv", "a.tsv"))
    assert one.lines == other.lines == 3
    assert one.sha256 != other.sha256
