"""What ``mft data stats`` counts with the installed filters, and without what they need."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from mftkit.data.rows.files import FileSource
from mftkit.tools.data_stats.count import StatsRequest, count
from mftkit_registry import MftError
from recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = "def add(one, other):\n    total = one + other\n    return total\n"


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    rows = [
        {"prompt": "Add.", "answer": ANSWER},
        {"prompt": "Add.", "answer": ANSWER.replace("    ", "  ")},
        {"prompt": "Add two.", "answer": ANSWER},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FileSource(path)


def test_near_repeats_are_searched_among_rows_that_are_no_exact_repeats(source: FileSource) -> None:
    found = count(StatsRequest(near=0.5), [source], None, Recorder()).to_json()
    assert [found["exact_repeats"], found["near_repeats"]] == [
        {"rows": 1, "samples": [f"{source.path}:2 duplicates an earlier row: {source.path}:1"]},
        {
            "rows": 1,
            "samples": [f"{source.path}:3 nearly duplicates an earlier row: 80% similar to {source.path}:1"],
        },
    ]
    assert found["contaminated"] is None


def test_without_a_package_a_default_search_is_left_out_and_the_rest_is_counted(
    source: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    listener = Recorder()
    found = count(StatsRequest(near=0.5), [source], None, listener).to_json()
    assert (found["rows"], found["near_repeats"]) == (3, None)
    assert found["exact_repeats"] is not None
    [warning] = listener.warnings
    assert warning.startswith("near repeats are not counted: ")
    assert "pip install 'mftkit[generate]'" in warning
    with pytest.raises(MftError, match="needs the package datasketch"):
        count(StatsRequest(["near-duplicates"]), [source], None, Recorder())


def test_a_filter_is_counted_once(source: FileSource) -> None:
    with pytest.raises(MftError, match="--filter well-formed is given twice"):
        count(StatsRequest(["well-formed", "well-formed"]), [source], None, Recorder())


def test_a_field_needs_references() -> None:
    with pytest.raises(MftError, match="--references"):
        StatsRequest(reference_field="text")
