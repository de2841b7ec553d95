"""Arrow tables as rows: every column, as JSON can hold it, without the nulls that Arrow adds."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.files import FileSource
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from pathlib import Path

DAY = datetime.date(2026, 3, 1)


def read(path: Path, table: pa.Table) -> list[Any]:
    pq.write_table(table, path / "a.parquet")
    return [value for _, value in FileSource(path / "a.parquet").rows()]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([DAY], pa.date32(), "2026-03-01"),
        ([datetime.datetime(2026, 3, 1, 4, 5)], pa.timestamp("ns"), "2026-03-01T04:05:00"),
        ([datetime.time(4, 5)], pa.time64("us"), "04:05:00"),
        ([datetime.timedelta(hours=1)], pa.duration("s"), "1:00:00"),
        ([decimal.Decimal("1.50")], pa.decimal128(5, 2), "1.50"),
        ([b"\x89PNG"], pa.binary(), {"bytes": 4}),
        ([b"abc"], pa.large_binary(), {"bytes": 3}),
        ([b"abcd"], pa.binary(4), {"bytes": 4}),
        ([{"bytes": b"ab", "path": None}], pa.struct({"bytes": pa.binary(), "path": pa.string()}), {"bytes": {"bytes": 2}}),
        ([[b"a", None]], pa.list_(pa.binary()), [{"bytes": 1}, None]),
        ([[("b", 1), ("a", None)]], pa.map_(pa.string(), pa.int64()), {"b": 1, "a": None}),
        ([{"a": None, "b": [{"c": None, "d": 1}, None]}], pa.struct({"a": pa.string(), "b": pa.list_(pa.struct({"c": pa.int8(), "d": pa.int8()}))}), {"b": [{"d": 1}, None]}),
        ([[1, None]], pa.large_list(pa.int64()), [1, None]),
        (["x"], pa.dictionary(pa.int8(), pa.string()), "x"),
        ([True], pa.bool_(), True),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_becomes_json(tmp_path: Path, values: list[Any], kind: Any, expected: object) -> None:
    table = pa.table({"text": ["t"], "other": pa.array(values, kind)})
    rows = read(tmp_path, table)
    assert rows == [{"text": "t", "other": expected}]
    assert json.loads(json.dumps(rows)) == rows


def test_turns_have_no_keys_that_only_other_turns_have(tmp_path: Path) -> None:
    call = {"function": {"name": "f", "arguments": {"x": 1}}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "1", "name": "f"},
    ]
    (row,) = read(tmp_path, pa.Table.from_pylist([{"messages": turns}]))
    assert row == {"messages": [turns[0], {"role": "assistant", "tool_calls": [call]}, turns[2]]}


def test_json_text_is_parsed_and_keeps_its_nulls(tmp_path: Path) -> None:
    column = pa.array(['{"a": null}', "null", "3"], pa.json_())
    rows = read(tmp_path, pa.table({"text": ["x", "y", "z"], "tools": column}))
    assert rows == [{"text": "x", "tools": {"a": None}}, {"text": "y"}, {"text": "z", "tools": 3}]


@pytest.mark.parametrize("key", ["prompt", "text"])
def test_bytes_under_a_key_that_is_read_are_a_bad_row(tmp_path: Path, key: str) -> None:
    bad, good = read(tmp_path, pa.table({key: pa.array([b"x", None], pa.binary()), "answer": ["a", "b"]}))
    assert isinstance(bad, BadRow)
    assert f"the column '{key}' holds bytes, not text" in str(bad)
    assert good == {"answer": "b"}


def test_rows_are_numbered_over_all_batches(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [str(i) for i in range(3000)]}), tmp_path / "a.parquet")
    rows = list(FileSource(tmp_path / "a.parquet").rows())
    assert [line for line, _ in rows] == list(range(1, 3001))
    assert rows[2999].value == {"text": "2999"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"a", b"\xff"], pa.binary()).view(pa.string()),
        pa.array([0, 2**30], pa.int32()).view(pa.date32()),
    ],
    ids=["not utf-8", "a year of seven digits"],
)
def test_a_value_that_python_cannot_hold_is_one_message(tmp_path: Path, column: Any) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(MftError, match=r"a\.parquet: cannot be read after row 0: ") as caught:
        list(FileSource(tmp_path / "a.parquet").rows())
    assert "\n" not in str(caught.value)
