"""The suite of evaluators finds what is wrong with one."""

from __future__ import annotations

import random
from typing import Any

import pytest

import mftkit
from mftkit.plugins import kinds
from mftkit.testing.running import run_suite, suite_for


class Right(mftkit.Evaluator):
    """Nothing is wrong with it."""

    def metrics(self) -> Any:
        return [mftkit.Metric("same")]

    def score(self, answered: Any, context: Any) -> Any:
        return [
            [self.verdict(answer.text == row.row.reference) for answer in row.answers] for row in answered
        ]

    def verdict(self, same: bool) -> mftkit.Verdict:
        return mftkit.Verdict({"same": float(same)})


class Nameless(Right):
    def metrics(self) -> Any:
        return [mftkit.Metric("same"), mftkit.Metric("same")]


class First(Right):
    def score(self, answered: Any, context: Any) -> Any:
        return [row[:1] for row in super().score(answered, context)]


class Infinite(Right):
    def verdict(self, same: bool) -> mftkit.Verdict:
        return mftkit.Verdict({"same": float(same) if same is None else float("inf")})


class Upside(Right):
    def metrics(self) -> Any:
        return [mftkit.Metric("same", higher_is_better=False)]


class Random(Right):
    def verdict(self, same: bool) -> mftkit.Verdict:
        return mftkit.Verdict({"same": same + random.random() / 9})


class Short(Right):
    def metrics(self) -> Any:
        return [mftkit.Metric("same"), mftkit.Metric("more")]

    def summary(self, verdicts: Any) -> Any:
        return {"same": verdicts[0][0].scores["same"]}


@pytest.mark.parametrize(
    ("component", "failed"),
    [
        (Right, []),
        (Nameless, ["metrics are named"]),
        (First, ["one verdict for each answer"]),
        (Upside, ["right answers are better"]),
        (Short, ["the summary has every metric"]),
        (Random, ["verdicts repeat"]),
    ],
)
def test_what_is_wrong_is_found(component: Any, failed: list[str]) -> None:
    results = list(run_suite(suite_for(kinds.EVALUATOR, component)))
    assert [row.check for row in results if row.outcome == "failed"] == failed


def test_a_score_that_is_not_finite_is_found() -> None:
    results = list(run_suite(suite_for(kinds.EVALUATOR, Infinite)))
    assert "one verdict for each answer" in [row.check for row in results if row.outcome == "failed"]
