"""BLEU and chrF of any selection of rows are sacrebleu's of that corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu import BLEU, CHRF

import mftkit
from mftkit_plugins.evaluators.bleu import Bleu
from mftkit_plugins.evaluators.chrf import Chrf

REFERENCES = [
    "Return the sum of the two numbers.",
    "def add(a, b):\n    return a + b",
    "Sorts a list, in place; it is stable.",
    "x",
    "Überprüft, ob »das« geht (ja!)",
    "for i in range(10): print(i)",
]
ANSWERS = [
    "Returns the sum of both numbers.",
    "def add(x, y):\n    return x + y  ",
    "",
    "x = 1",
    "Überprüft ob das geht, (ja!)",
    "for i in range(10): print(i)",
]


def verdicts(evaluator: Any) -> list[list[mftkit.Verdict]]:
    def none(_ref: Any) -> Any:
        raise AssertionError("not needed")

    context = mftkit.EvaluationContext("t", 0, Path(), print, none, none)
    rows = [
        mftkit.Answered(mftkit.EvaluationRow(str(i), {}, reference), (mftkit.Answer(answer),))
        for i, (reference, answer) in enumerate(zip(REFERENCES, ANSWERS, strict=True))
    ]
    evaluator.check([each.row for each in rows], context)
    made: list[list[mftkit.Verdict]] = evaluator.score(rows, context)
    return made


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_bleu(tokenize: Any, lowercase: bool) -> None:
    options = Bleu.Options(tokenize=tokenize, lowercase=lowercase, whitespace="keep")
    compare(Bleu(options), "bleu", BLEU(tokenize=tokenize, lowercase=lowercase))


@pytest.mark.parametrize(
    "options", [{}, {"word_order": 2}, {"word_order": 1, "beta": 1, "char_order": 3, "lowercase": True}]
)
def test_chrf(options: dict[str, Any]) -> None:
    compare(Chrf(Chrf.Options(whitespace="keep", **options)), "chrf", CHRF(**options))


def compare(evaluator: Any, name: str, reference: Any) -> None:
    made = verdicts(evaluator)
    random = np.random.default_rng(3)
    for chosen in (range(len(made)), *random.integers(len(made), size=(20, len(made))).tolist()):
        expected = reference.corpus_score([ANSWERS[i] for i in chosen], [[REFERENCES[i] for i in chosen]])
        assert evaluator.summary([made[i] for i in chosen]) == {name: pytest.approx(expected.score)}


def test_the_score_of_a_corpus_is_no_mean_and_that_of_a_verdict_is_the_answers_own() -> None:
    evaluator = Bleu(Bleu.Options())
    made = verdicts(evaluator)
    own = [row[0].scores["bleu"] for row in made]
    alone = BLEU(effective_order=True)
    assert own == [
        pytest.approx(alone.sentence_score(answer.rstrip(), [reference]).score)
        for answer, reference in zip(ANSWERS, REFERENCES, strict=True)
    ]
    assert evaluator.summary(made)["bleu"] != pytest.approx(sum(own) / len(own), abs=1)


def test_all_answers_to_a_row_belong_to_the_corpus() -> None:
    evaluator = Chrf(Chrf.Options())
    made = verdicts(evaluator)
    together = [[verdict for row in made for verdict in row]]
    assert evaluator.summary(together) == evaluator.summary(made)
