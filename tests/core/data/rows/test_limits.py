"""Rows and files that ask for gigabytes are refused with their place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from mftkit.data.rows import csv_rows, json_rows, limits
from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.files import FileSource
from mftkit_registry import MftError

MOST = 1000


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BYTES", MOST)
    monkeypatch.setattr(csv_rows, "MOST_BYTES", MOST)
    monkeypatch.setattr(limits, "MOST_SKIPPED", 100 * MOST)
    monkeypatch.setattr(limits, "MOST_ARRAY", 100 * MOST)


def line(characters: int) -> bytes:
    return json.dumps({"prompt": "q", "answer": "x" * characters}).encode() + b"\n"


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("characters", [MOST, 2 * MOST, 3 * MOST + 1, 50 * MOST])
def test_a_large_row_is_bad_and_the_next_ones_are_read(tmp_path: Path, ending: str, characters: int) -> None:
    file = tmp_path / f"rows{ending}"
    content = line(1) + line(characters) + line(MOST - 50) + line(2)
    file.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    rows = list(FileSource(file).rows())
    assert [row.line for row in rows] == [1, 2, 3, 4]
    assert [isinstance(row.value, BadRow) for row in rows] == [False, True, False, False]
    assert "the row has more than" in str(rows[1].value)


def test_a_line_of_a_gzip_bomb_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(line(1) + line(1000 * MOST)))
    with pytest.raises(RowError, match=r"rows.jsonl.gz:2: the line has more than .*; the rest of the file"):
        list(FileSource(file).rows())


def test_empty_lines_of_a_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BLANK", 100)
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(line(1) + b"\n" * 100 + line(1) + b"\n" * 1000))
    with pytest.raises(RowError, match=r"rows.jsonl.gz:203: 100 empty lines in a row; remove them"):
        list(FileSource(file).rows())


def test_a_large_cell(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    quoted = "\n".join(["x" * 100] * 20)
    file.write_text(f'prompt,answer\nq,a\nq,"{quoted}"\n')
    with pytest.raises(RowError, match=r"rows.csv:3: the row has more than .*; split it"):
        list(FileSource(file).rows())


def test_arrays(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_bytes(b"[" + line(1) + b"," + line(2 * MOST) + b"]")
    assert [isinstance(row.value, BadRow) for row in FileSource(file).rows()] == [False, True]
    file.write_bytes(b"[" + line(200 * MOST) + b"]")
    with pytest.raises(MftError, match=r"rows.json: is one JSON array of .*; write one object per line"):
        list(FileSource(file).rows())


def test_nesting(tmp_path: Path) -> None:
    deep = b"[" * 500 + b"]" * 500
    rows = list(json_rows.array_rows(b"[" + deep + b"]", "rows.json"))
    assert len(rows) == 1


def parquet(path: Path, texts: list[str], **options: object) -> Path:
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", **options)
    return path


@pytest.mark.parametrize("per_group", [1, 5])
def test_a_large_row_of_a_parquet_file_is_bad_and_the_next_ones_are_read(
    tmp_path: Path, per_group: int
) -> None:
    file = parquet(
        tmp_path / "rows.parquet", ["a", "b", "x" * 50 * MOST, "c", "d" * MOST], row_group_size=per_group
    )
    rows = list(FileSource(file).rows())
    assert [row.line for row in rows] == [1, 2, 3, 4, 5]
    assert [isinstance(row.value, BadRow) for row in rows] == [False, False, True, False, True]
    assert "the row has more than" in str(rows[2].value)


def test_a_dictionary_is_no_part_of_each_row(tmp_path: Path) -> None:
    """Arrow counts it for each; a row has one of its values."""
    words = ["a" * (MOST // 2), "b" * (MOST // 2), "c" * 2 * MOST]
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0]), pa.array(words))
    pq.write_table(pa.table({"text": column}), tmp_path / "rows.parquet")
    rows = list(FileSource(tmp_path / "rows.parquet").rows())
    assert [isinstance(row.value, BadRow) for row in rows] == [False, False, True, False]


def test_a_parquet_bomb_is_not_unpacked(tmp_path: Path) -> None:
    file = parquet(
        tmp_path / "rows.parquet", ["a"] * 3 + ["x" * 99 * MOST] * 3, row_group_size=3, use_dictionary=False
    )
    assert file.stat().st_size < 20 * MOST
    rows = FileSource(file).rows()
    assert [next(rows).line for _ in range(3)] == [1, 2, 3]
    with pytest.raises(
        RowError, match=r"rows.parquet:4: this row and the next ones, 3 in one row group, have .*"
    ):
        next(rows)


def test_a_dictionary_that_stands_for_gigabytes_is_unpacked_by_a_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_ARRAY", 10 * MOST)
    file = parquet(tmp_path / "rows.parquet", ["x" * 1000] * 5000, row_group_size=5000)
    read, iter_batches = [], pq.ParquetFile.iter_batches

    def recorded(self: pq.ParquetFile, **options: object) -> object:
        for batch in iter_batches(self, **options):
            read.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", recorded)
    rows = FileSource(file).rows()
    next(rows)
    assert max(read) <= 11 * MOST
