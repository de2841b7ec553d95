"""The loss of a task: by tokens, not by rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit_plugins.evaluators.loss import Loss


def verdicts(*sums: tuple[float, int]) -> list[list[mftkit.Verdict]]:
    def none(_ref: Any) -> Any:
        raise AssertionError("not needed")

    row = mftkit.EvaluationRow("1", {}, source="data.jsonl:3")
    answered = [mftkit.Answered(row, nll=nll, loss_tokens=tokens) for nll, tokens in sums]
    return Loss(Loss.Options()).score(answered, mftkit.EvaluationContext("t", 0, Path(), print, none, none))


def test_the_mean_is_over_tokens() -> None:
    made = verdicts((2.0, 1), (30.0, 99))
    assert [row[0].scores["loss"] for row in made] == [2.0, pytest.approx(30 / 99)]
    found = Loss(Loss.Options()).summary(made)
    assert found == {"loss": pytest.approx(0.32), "perplexity": pytest.approx(math.exp(0.32))}


def test_a_row_without_loss_tokens_is_refused() -> None:
    with pytest.raises(mftkit.MftError, match=r"data.jsonl:3 has no loss token; remove the row"):
        verdicts((1.0, 2), (0.0, 0))


def test_a_model_that_diverged_has_a_finite_perplexity() -> None:
    assert math.isfinite(Loss(Loss.Options()).summary(verdicts((1e6, 1)))["perplexity"])
