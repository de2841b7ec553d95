"""Every unusual input of the messy table does what its expected.json says."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from data_path import sections, tokenizer
from mftkit.data.corpus import Corpus, prepare
from mftkit_registry.errors import MftError
from recorder import Recorder

SHARED = Path(os.environ.get("MFT_SHARED") or Path(__file__).parents[3].parent / "shared")
MESSY = SHARED / "data" / "messy"
TABLE = MESSY / "expected.json"
CASES = json.loads(TABLE.read_text(encoding="utf-8"))["cases"] if TABLE.exists() else []
if not CASES:
    pytest.skip("the messy inputs (../shared/data/messy) are not here", allow_module_level=True)


def given(case: dict[str, Any]) -> Path:
    """The file, or the directory where the case is one."""
    path = MESSY / str(case["path"])
    return path if path.parent == MESSY else path.parent


def prepared(case: dict[str, Any], cache: Path, **data: str) -> tuple[Corpus | None, str, Recorder]:
    """(corpus, "") or (None, the error)."""
    listener = Recorder()
    task = {"name": "messy", "train": [str(given(case))], "valid": 0}
    try:
        corpus = prepare(sections(cache, task, data=data), tokenizer(), listener)
    except MftError as error:
        return None, str(error), listener
    return corpus, "", listener


REPORTED = ("keys not used", "contents of 1 row contain the text of control tokens of the chat format")
"""What is accepted as it is, and reported."""


def odd(warnings: list[str]) -> list[str]:
    """Warnings but for those of having no validation rows or equal ones (some cases have), and reports."""
    return [
        warning
        for warning in warnings
        if not any(text in warning for text in ("validation set is empty", "repeat", *REPORTED))
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["path"])
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    corpus, error, listener = prepared(case, tmp_path)
    expected = case["expect"]
    beside = case["path"] == "dir_with_good_and_bad_file/a_good.jsonl"
    if corpus is None:
        assert "error" in expected, error
        named = MESSY / ("dir_with_good_and_bad_file/b_bad.jsonl" if beside else case["path"])
        line = 1 if beside else case["line"]
        assert error.startswith(f"{named}:{line}: ") if line else str(given(case)) in error
        assert "\n" not in error
    else:
        assert "accept" in expected
        assert corpus.reports[0].rows >= case["good_rows"]
        if expected == "accept":
            assert odd(listener.warnings) == []
        if expected == "accept with a warning":
            assert listener.warnings
        for sample in (corpus.train[i] for i in range(len(corpus.train))):
            assert sample.loss_mask.any()
            assert not sample.loss_mask[0]


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["expect"].startswith("error") and case["line"]],
    ids=lambda c: c["path"],
)
def test_bad_rows_can_be_skipped_and_are_counted(case: dict[str, Any], tmp_path: Path) -> None:
    corpus, error, listener = prepared(case, tmp_path, on_bad_row="skip")
    if corpus is None:  # nothing is left, or nothing of the file can be read
        assert str(MESSY) in error
        return
    assert corpus.reports[0].skipped >= 1
    assert corpus.reports[0].rows >= case["good_rows"]
    assert any(
        "bad rows skipped" in warning and f":{case['line']}: " in warning for warning in listener.warnings
    )
