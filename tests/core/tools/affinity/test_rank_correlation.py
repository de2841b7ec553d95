"""Rank correlations against values known from elsewhere, and their tests against counting."""

from math import isnan

import numpy as np
import pytest

from mftkit.tools.affinity.agreement import Agreement, Point
from mftkit.tools.affinity.rank_correlation import interval, kendall, p_value, ranks, spearman


def test_values_of_a_textbook() -> None:
    """Kendall, "Rank Correlation Methods": distances 1 of 10 ranks, and ties."""
    one = np.array([7.0, 4, 3, 10, 6, 2, 9, 8, 1, 5])
    other = np.array([5.0, 7, 3, 10, 1, 9, 6, 2, 8, 4])
    distance = float(((one - other) ** 2).sum())
    assert spearman(one, other) == pytest.approx(1 - 6 * distance / 990)
    concordant = sum((one[i] - one[j]) * (other[i] - other[j]) > 0 for i in range(10) for j in range(i))
    assert kendall(one, other) == pytest.approx((concordant - (45 - concordant)) / 45)
    assert ranks(np.array([3.0, 1, 3, 3])).tolist() == [3, 1, 3, 3]
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(0.9486833)
    assert kendall(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(0.9128709)
    assert isnan(spearman(np.ones(3), one[:3]))


def test_p_values_are_shares_of_rearrangements() -> None:
    rising = np.arange(4.0)
    assert p_value(spearman, rising, rising, np.zeros(4, int), 0) == pytest.approx(1 / 24)
    assert p_value(spearman, rising, -rising, np.zeros(4, int), 0) == 1
    pairs = np.array([0, 0, 1, 1, 2, 2])
    values = np.array([0.0, 1, 0, 1, 0, 1])
    assert p_value(spearman, values, values, pairs, 0) == pytest.approx(1 / 8)
    long = np.arange(12.0)
    assert p_value(spearman, long, long, np.zeros(12, int), 0) == pytest.approx(1 / 2001)
    low, high = interval(spearman, long, long + np.tile([0, 3], 6), 0)
    assert low < spearman(long, long + np.tile([0, 3], 6)) <= high <= 1


def test_levels_of_tasks_are_no_agreement() -> None:
    """Three tasks of very different losses, ordered wrongly within each: only the correlation of all is high."""
    points = [
        Point((name, other), name, level + predicted, level - predicted, 1, 100 * predicted)
        for level, name in enumerate("abc")
        for other, predicted in (("x", 0.01), ("y", 0.03), ("z", 0.02))
    ]
    found = Agreement(points, 0)
    assert found.overall.spearman > 0.7
    assert found.within.spearman < -0.9
    assert found.within.p == 1
    assert found.by_steps.spearman > 0.8
    assert found.ordered_alike == (0, 9)
    written = Agreement(points[:2], 0).to_json()
    assert written["within_tasks"]["spearman"] is None
    assert written["pairs"] == 1
