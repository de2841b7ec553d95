"""Rows to evaluate have different ids."""

from __future__ import annotations

import pytest

from mftkit import EvaluationRow
from mftkit.evaluation.rows import _with_different_ids


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "b"], ["a (1)", "a (2)", "b"]),
        (["a", "a", "a (1)"], ["a (2)", "a (3)", "a (1)"]),
    ],
)
def test_ids_that_repeat_are_numbered(given: list[str], expected: list[str]) -> None:
    assert [row.id for row in _with_different_ids([EvaluationRow(each, {}) for each in given])] == expected
