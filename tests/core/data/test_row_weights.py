"""The key ``weight`` of a row, from the file to the samples."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import Corpus, prepare
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import row_weight
from mftkit_registry.errors import MftError
from recorder import Recorder

TOK = tokenizer()


def corpus(cache: Path, *tasks: dict[str, Any], listener: Recorder | None = None, **changes: Any) -> Corpus:
    return prepare(sections(cache, *tasks, **changes), TOK, listener or Recorder())


def task(path: Path, **more: Any) -> dict[str, Any]:
    return {"name": "a", "train": [str(path)], "valid": 0, **more}


def weights(made: Corpus) -> list[float]:
    return [made.train[i].weight for i in range(len(made.train))]


@pytest.mark.parametrize(
    ("row", "weight"), [({}, 1), ({"weight": 2}, 2), ({"weight": 0}, 0), ({"weight": 0.25}, 0.25)]
)
def test_a_weight_is_a_number(row: dict[str, Any], weight: float) -> None:
    assert row_weight(row) == weight


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2", "a number of at least 0, not a string"),
        (True, "not true or false"),
        ([1], "not a list"),
        (-0.5, "a finite number of at least 0, not -0.5"),
        (float("nan"), "not nan"),
        (float("inf"), "not inf"),
        (10**400, "not 1000"),
    ],
)
def test_what_is_wrong_is_said(value: Any, said: str) -> None:
    with pytest.raises(BadRow) as caught:
        row_weight({"weight": value})
    assert said in str(caught.value)
    assert "rename it" in str(caught.value)


def test_bad_weights_are_bad_rows_with_their_place(tmp_path: Path) -> None:
    lines = [chat_row("q", "one"), chat_row("q", "two", weight="heavy"), chat_row("q", "three", weight=3)]
    path = write_lines(tmp_path / "a.jsonl", lines)
    with pytest.raises(MftError) as caught:
        corpus(tmp_path, task(path))
    assert str(caught.value).startswith(f"{path}:2: 'weight' must be")
    listener = Recorder()
    made = corpus(tmp_path, task(path), listener=listener, data={"on_bad_row": "skip"})
    assert (made.reports[0].skipped, weights(made)) == (1, [1, 3])
    assert f"{path}:2: 'weight' must be" in "".join(listener.warnings)


def test_weights_come_from_the_cache_as_from_the_file(tmp_path: Path) -> None:
    lines = [{"text": f"text {i}", "weight": i / 4} for i in range(6)]
    path = write_lines(tmp_path / "a.jsonl", lines)
    first, again = (corpus(tmp_path, task(path, format="text")) for _ in range(2))
    assert (first.reports[0].cached, again.reports[0].cached) == (False, True)
    assert weights(first) == weights(again) == [0, 0.25, 0.5, 0.75, 1, 1.25]
    write_lines(path, [{**line, "weight": 2} for line in lines])
    other = corpus(tmp_path, task(path, format="text"))
    assert weights(other) == [2] * 6
    assert other.fingerprint != first.fingerprint


def test_weights_of_one_are_none(tmp_path: Path) -> None:
    lines = [chat_row("q", "one", weight=1), chat_row("q", "two", weight=1.0), chat_row("q", "three")]
    made = corpus(tmp_path, task(write_lines(tmp_path / "a.jsonl", lines)))
    assert made.train.weights is None
    assert weights(made) == [1, 1, 1]


def test_a_table_may_have_weights_too_and_null_is_none(tmp_path: Path) -> None:
    columns = {"prompt": ["a", "b"], "answer": ["x", "y"], "weight": [0.5, None], "score": ["s", "t"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert weights(corpus(tmp_path, task(tmp_path / "a.parquet"))) == [0.5, 1]


def test_validation_is_chosen_without_weights_and_counts_each_row_once(tmp_path: Path) -> None:
    """Equal rows of unequal weights lie on one side."""
    plain = [chat_row(f"question {i}", f"answer {i}") for i in range(30)]
    weighed = [{**row, "weight": 2} for row in plain]
    paths = [write_lines(tmp_path / f"{i}.jsonl", rows) for i, rows in enumerate([plain, weighed])]
    first, other = (corpus(tmp_path, task(path, valid=0.2)) for path in paths)
    held = [[one.valid[i].tokens.tolist() for i in range(len(one.valid))] for one in (first, other)]
    assert held[0] == held[1]
    assert other.valid.weights is None
    both = {"name": "a", "train": [str(path) for path in paths], "valid": 0.2}
    made = corpus(tmp_path, both)
    sides = [{tuple(part[i].tokens.tolist()) for i in range(len(part))} for part in (made.train, made.valid)]
    assert not sides[0] & sides[1]
    assert len(made.valid) == 2 * len(first.valid)


def test_unrelated_keys_stay_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(chat_row("q", "a", weights="x", Weight=[], loss_weight=3)) + "\n")
    assert weights(corpus(tmp_path, task(path))) == [1]
