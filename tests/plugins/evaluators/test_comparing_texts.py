"""Exact match and edit similarity, against plain formulas."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mftkit
from mftkit_plugins.evaluators.distances import common_subsequence, levenshtein
from mftkit_plugins.evaluators.edit_similarity import EditSimilarity
from mftkit_plugins.evaluators.exact_match import ExactMatch


def context() -> mftkit.EvaluationContext:
    def none(_ref: Any) -> Any:
        raise AssertionError("not needed")

    return mftkit.EvaluationContext("task", 0, Path(), print, none, none)


def answered(reference: str | None, *answers: str) -> mftkit.Answered:
    row = mftkit.EvaluationRow("1", {}, reference, "?", "data.jsonl:7")
    return mftkit.Answered(row, tuple(mftkit.Answer(text) for text in answers))


def scores(evaluator: Any, reference: str, *answers: str) -> list[float]:
    [verdicts] = evaluator.score([answered(reference, *answers)], context())
    return [next(iter(verdict.scores.values())) for verdict in verdicts]


def exact(**options: Any) -> ExactMatch:
    return ExactMatch(ExactMatch.Options(**options))


def test_whitespace() -> None:
    texts = ("a\n  b", "\n\na  \n  b\n", "a b", "a\r\n  b", "a\nb")
    assert scores(exact(), "a\n  b", *texts) == [1, 1, 0, 1, 0]
    assert scores(exact(whitespace="keep"), "a\n  b", *texts) == [1, 0, 0, 0, 0]
    assert scores(exact(whitespace="collapse"), "a\n  b", *texts) == [1, 1, 1, 1, 1]
    assert scores(exact(), "  x = 1", "x = 1", "\n  x = 1") == [0, 1]  # the first line's indentation counts


def test_code_of_fenced_blocks() -> None:
    fenced = "It is this:\n```python\ndef f():\n    return 1\n```\n"
    plain = "def f():\n    return 1"
    assert scores(exact(), plain, fenced) == [0]
    assert scores(exact(code="python"), plain, fenced, plain, "```js\nf\n```") == [1, 1, 0]
    assert scores(exact(code="python"), fenced, plain) == [1]


def test_a_verdict_says_whether_the_answer_is_right_and_answers_of_a_row_are_averaged() -> None:
    evaluator = exact()
    verdicts = evaluator.score([answered("a", "a", "b"), answered("b", "b")], context())
    assert [[v.passed for v in row] for row in verdicts] == [[True, False], [True]]
    assert evaluator.summary(verdicts) == {"exact-match": 0.75}


@pytest.mark.parametrize("evaluator", [ExactMatch, EditSimilarity])
def test_rows_without_a_reference_are_one_message_before_the_start(evaluator: Any) -> None:
    made = evaluator(evaluator.Options())
    made.check([answered("a").row], context())
    with pytest.raises(
        mftkit.MftError, match=r"no answer to compare with: data.jsonl:7; give each an answer"
    ):
        made.check([answered("a").row, answered(None).row], context())


def table(one: str, other: str, replacing: int) -> int:
    """The distance by the table of Wagner and Fischer."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b) * replacing))
    return row[-1]


words = st.text("abc é\n", max_size=90)


@given(words, words)
@settings(max_examples=150, deadline=None)
def test_distances_are_those_of_the_table(one: str, other: str) -> None:
    assert levenshtein(one, other) == table(one, other, 1)
    assert len(one) + len(other) - 2 * common_subsequence(one, other) == table(one, other, 2)


def test_edit_similarity() -> None:
    evaluator = EditSimilarity(EditSimilarity.Options())
    assert scores(evaluator, "kitten", "sitting", "kitten", "", "k") == pytest.approx(
        [1 - 3 / 7, 1, 0, 1 / 6]
    )
    assert scores(
        EditSimilarity(EditSimilarity.Options(measure="indel")), "kitten", "sitting"
    ) == pytest.approx([8 / 13])
    assert (
        SequenceMatcher(None, "abcd", "bcda").ratio() != 1 - levenshtein("abcd", "bcda") / 4
    )  # why not difflib
