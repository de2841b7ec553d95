import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.files import FileSource
from mftkit_registry.errors import MftError

ROWS: list[dict[str, Any]] = [{"prompt": "a", "answer": "b"}, {"prompt": "c\u2028d", "answer": "e"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def read(path: Path, content: bytes) -> list[tuple[int, Any]]:
    path.write_bytes(content)
    return [(line, value) for line, value in FileSource(path).rows()]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.jsonl", LINES, [1, 2]),
        ("a.jsonl", b"\xef\xbb\xbf\n" + LINES.replace(b"\n", b"\r\n\r\n").rstrip(), [2, 4]),
        ("a.JSONL.gz", gzip.compress(LINES, mtime=0), [1, 2]),
        ("a.json", LINES, [1, 2]),
        ("a.json", json.dumps(ROWS, indent=1).encode(), [1, 2]),
        ("a.json", b"\xef\xbb\xbf \n" + json.dumps(ROWS).encode() + b"\n", [1, 2]),
    ],
    ids=["jsonl", "bom, crlf and blank lines", "gz", "json lines", "array", "array with bom"],
)
def test_every_ending_gives_rows_and_lines(
    tmp_path: Path, name: str, content: bytes, lines: list[int]
) -> None:
    assert read(tmp_path / name, content) == list(zip(lines, ROWS, strict=True))


def test_parquet_rows_are_numbered_and_without_nulls(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": turns, "text": None, "other": 1}, {"messages": None, "text": "t", "other": 2}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = list(FileSource(tmp_path / "a.parquet").rows())
    assert found == [(1, {"messages": turns, "other": 1}), (2, {"text": "t", "other": 2})]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl.gz", gzip.compress(LINES * 2000, mtime=0)[:-4], ":4001: the gzip file is damaged"),
        ("a.jsonl.gz", LINES, ":1: the gzip file is damaged or not gzip"),
        ("a.jsonl", gzip.compress(LINES, mtime=0), ":1: not UTF-8: these are gzip bytes"),
        ("a.json", b"[\n{},\n{]", ":3: not valid JSON"),
        ("a.json", b"[\n{},\n{}", ":3: the JSON array is not closed"),
        ("a.json", b"[\n{},\n]", ":2: not valid JSON: the elements"),
        ("a.json", b"[\n{}\n{}]", ":3: not valid JSON: the elements"),
        ("a.json", b"[{}] {}", ":1: there is text after"),
        ("a.json", b"[\n{},\n{\xff}]", ":3: not UTF-8"),
    ],
    ids=[
        "gz cut short",
        "jsonl named gz",
        "gz named jsonl",
        "bad element",
        "no end",
        "comma before the end",
        "no comma",
        "more after the end",
        "not utf-8",
    ],
)
def test_a_file_of_which_nothing_more_can_be_read(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(RowError) as caught:
        read(tmp_path / name, content)
    assert f"{tmp_path / name}{said}" in str(caught.value)


def test_a_bad_line_does_not_hide_those_after_it(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    found = read(
        tmp_path / "a.jsonl",
        b'{"a": 1}\n{"a": \n\xff\n' + deep + b"\n" + b'{"a": ' + b"9" * 5000 + b'}\n{"a": 2}\n',
    )
    assert [line for line, _ in found] == [1, 2, 3, 4, 5, 6]
    assert [isinstance(value, BadRow) for _, value in found] == [False, True, True, True, True, False]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "array.json"])
def test_a_null_is_an_absent_key_and_nulls_inside_values_stay(tmp_path: Path, name: str) -> None:
    inner = [{"role": "assistant", "content": None, "tool_calls": [{"arguments": {"x": None}}]}]
    rows = [
        {"messages": None, "prompt": "a", "weight": None},
        {"messages": inner, "prompt": None},
        {"id": None},
    ]
    content = "\n".join(map(json.dumps, rows)).encode()
    if name.startswith("array"):
        content = json.dumps(rows).encode()
    if name.endswith("gz"):
        content = gzip.compress(content)
    assert [value for _, value in read(tmp_path / name, content)] == [
        {"prompt": "a"},
        {"messages": inner},
        {},
    ]


def test_an_empty_array_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a.json", b" [ ] ") == []


def test_damaged_parquet_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(MftError, match="cannot be read as Parquet"):
        list(FileSource(tmp_path / "a.parquet").rows())


def test_a_parquet_file_that_is_cut_off_or_altered_gives_its_rows_or_an_error(tmp_path: Path) -> None:
    """Never fewer rows without a word: pyarrow reads some damaged row groups as empty ones."""
    path, drawn = tmp_path / "a.parquet", random.Random(0)
    rows = [{"prompt": f"question {i}", "turns": [{"from": "a", "text": str(i)}]} for i in range(90)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=30)
    content = path.read_bytes()
    refused = 0
    for number in range(300):
        altered = bytearray(content[: drawn.randrange(len(content))] if number % 5 == 0 else content)
        for _ in range(number % 5):
            altered[-1 - drawn.randrange(min(1500, len(altered)))] = drawn.randrange(256)
        path.write_bytes(altered)
        try:
            assert len(list(FileSource(path).rows())) == 90
        except MftError as error:
            assert str(error).startswith(f"{path}: "), error
            refused += 1
    assert refused > 200


def test_the_digest_is_of_the_bytes_and_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n{}")
    first = FileSource(path).digest()
    path.write_bytes(b"{}\n{} ")
    assert first.lines == FileSource(path).digest().lines == 2
    assert first.sha256 != FileSource(path).digest().sha256
