"""Columns that have other names than the keys of rows."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.sources import train_sources, valid_sources
from mftkit.spec import TaskSpec
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.data.rows.source import Source

NAMES = {"problem": "prompt", "solution": "answer"}
ROWS = [{"problem": "p", "solution": "s", "url": "u"}, {"problem": "q", "solution": "t", "url": "v"}]
EXPECTED = [{"prompt": "p", "answer": "s", "url": "u"}, {"prompt": "q", "answer": "t", "url": "v"}]


def write(path: Path, rows: list[Any]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def train(columns: dict[str, str], *paths: str) -> tuple[Source, ...]:
    task = TaskSpec.model_validate({"name": "t", "train": list(paths), "columns": columns})
    return train_sources(task, 3, lambda _warning: None)


def values(sources: tuple[Source, ...]) -> list[Any]:
    return [value for source in sources for _, value in source.rows()]


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_columns_are_renamed_in_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    (source,) = train(NAMES, write(tmp_path / f"a{ending}", ROWS))
    assert values((source,)) == EXPECTED
    assert source.name == str(tmp_path / f"a{ending}")


def test_valid_is_mapped_too_and_may_have_the_keys_itself(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROWS)
    write(tmp_path / "b.jsonl", EXPECTED)
    for name in ("a.jsonl", "b.jsonl"):
        task = TaskSpec.model_validate(
            {
                "name": "t",
                "train": str(tmp_path / "a.jsonl"),
                "valid": [str(tmp_path / name)],
                "columns": NAMES,
            }
        )
        assert values(valid_sources(task, 0, lambda _warning: None)) == EXPECTED


def test_names_can_be_swapped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "s", "answer": "p"}])
    assert values(train({"prompt": "answer", "answer": "prompt"}, path)) == [{"answer": "s", "prompt": "p"}]


def test_a_mapped_cell_of_csv_is_read_by_its_key(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}]
    rows = [{"talk": json.dumps(turns), "score": "0.5"}, {"talk": "hello", "score": ""}]
    good, bad = values(train({"talk": "messages", "score": "weight"}, write(tmp_path / "a.csv", rows)))
    assert good == {"messages": turns, "weight": 0.5}
    assert isinstance(bad, BadRow)
    assert "'messages' must hold JSON" in str(bad)


def test_a_row_that_has_the_key_itself_is_bad_unless_it_is_null(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "prompt": None}, {**ROWS[0], "prompt": "x"}, {"answer": "x", **ROWS[0]}]
    good, *bad = values(train(NAMES, write(tmp_path / "a.jsonl", rows)))
    assert good == EXPECTED[0]
    assert [str(row) for row in bad] == [
        "the row has 'prompt' itself, and columns gives it 'problem' as well; remove or rename one of them",
        "the row has 'answer' itself, and columns gives it 'solution' as well; remove or rename one of them",
    ]


def test_a_column_that_no_row_has_is_an_error_that_lists_those_there_are(tmp_path: Path) -> None:
    paths = write(tmp_path / "a.jsonl", ROWS), write(tmp_path / "b.csv", ROWS)
    with pytest.raises(MftError) as caught:
        values(train({**NAMES, "problm": "system"}, *paths))
    assert str(caught.value) == (
        "tasks.3.columns.problm: no row has a value in the column 'problm' (columns: 'problem', 'solution', 'url'); "
        "did you mean 'problem'?"
    )
    null = write(tmp_path / "c.jsonl", [{**ROWS[0], "hint": None}])
    with pytest.raises(MftError, match=r"tasks\.3\.columns\.hint: no row has a value"):
        values(train({**NAMES, "hint": "system"}, null))


def test_one_of_several_files_may_lack_a_column(tmp_path: Path) -> None:
    paths = write(tmp_path / "a.jsonl", EXPECTED), write(tmp_path / "b.jsonl", ROWS)
    assert values(train(NAMES, *paths)) == EXPECTED + EXPECTED


def test_lines_that_cannot_be_read_and_odd_rows_pass(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"problem":\n[1]\n{"problem": "p", "solution": "s"}\n')
    bad, odd, good = values(train(NAMES, str(tmp_path / "a.jsonl")))
    assert isinstance(bad, BadRow)
    assert (odd, good) == ([1], {"prompt": "p", "answer": "s"})


def test_a_key_that_is_not_read_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(MftError) as caught:
        train({"problem": "promt"}, write(tmp_path / "a.jsonl", ROWS))
    message = str(caught.value)
    assert message.startswith("tasks.3.columns.problem: rows are not read by the key 'promt' (known keys: ")
    assert message.endswith("; did you mean 'prompt'?")


def test_the_digest_includes_the_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    digests = [train(columns, path)[0].digest() for columns in ({}, NAMES, {"problem": "text"}, NAMES)]
    assert len({digest.sha256 for digest in digests}) == 3
    assert digests[1] == digests[3]
    assert {digest.lines for digest in digests} == {2}
