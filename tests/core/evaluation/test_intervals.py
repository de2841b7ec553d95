"""Intervals against independent formulas."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest

from mftkit import Metric, Verdict
from mftkit.evaluation.intervals import metric_values, wilson


@pytest.mark.parametrize(("right", "rows"), [(0, 5), (3, 7), (50, 164), (164, 164)])
def test_wilson_bounds_are_the_roots_of_the_score_equation(right: int, rows: int) -> None:
    """(share - p)^2 = z^2 p (1 - p) / n, solved for p by numpy."""
    z, share = 1.959963984540054, right / rows
    roots = sorted(np.roots([1 + z**2 / rows, -2 * share - z**2 / rows, share**2]).real)
    assert wilson(right, rows) == pytest.approx((max(roots[0], 0), min(roots[1], 1)), abs=1e-7)


def test_the_bootstrap_of_a_mean_is_about_its_standard_error() -> None:
    scores = np.random.default_rng(0).normal(3, 2, 200)
    verdicts = [[Verdict({"x": float(each)})] for each in scores]
    found = metric_values(
        [Metric("x", scale="points")],
        verdicts,
        lambda rows: {"x": fmean(row[0].scores["x"] for row in rows)},
        0,
    )["x"]
    error = 1.96 * stdev(scores) / math.sqrt(200)
    assert found.value == pytest.approx(scores.mean())
    assert found.high - found.value == pytest.approx(error, rel=0.15)
    assert found.value - found.low == pytest.approx(error, rel=0.15)


def test_right_and_wrong_rows_get_wilsons_interval() -> None:
    verdicts = [[Verdict({"x": float(i < 8)})] for i in range(10)]
    found = metric_values(
        [Metric("x")], verdicts, lambda rows: {"x": fmean(row[0].scores["x"] for row in rows)}, 0
    )
    assert (found["x"].low, found["x"].high) == pytest.approx(wilson(8, 10))


def test_rows_whose_answers_all_say_the_same_are_right_or_wrong() -> None:
    several = [[Verdict({}, passed=i < 2)] * 3 for i in range(5)]
    found = metric_values(
        [Metric("pass@1")],
        several,
        lambda rows: {"pass@1": fmean(float(bool(row[0].passed)) for row in rows)},
        0,
    )["pass@1"]
    assert (found.low, found.high) == wilson(2, 5)
    mixed = [[Verdict({}, passed=True), Verdict({}, passed=False)], *several]
    other = metric_values([Metric("pass@1")], mixed, lambda _rows: {"pass@1": 0.5}, 0)["pass@1"]
    assert (other.low, other.high) == (0.5, 0.5)  # of the bootstrap
