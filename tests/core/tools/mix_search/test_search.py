"""The search on functions whose lowest point is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mftkit.tools.mix_search.proportions import first_points
from mftkit.tools.mix_search.search import Point, search
from mftkit.tools.mix_search.shares import PARTS, Shares, corner, distance, rounded
from mftkit.tools.mix_search.verified import spearman

Value = Callable[[Shares], float]


def given(size: int) -> list[Point]:
    return first_points({"uniform": rounded([1.0] * size), "by size": rounded(range(1, size + 1))})


def found(value: Value, size: int, count: int, seed: int = 1) -> tuple[Shares, dict[Shares, float]]:
    values = search(lambda point: value(point.shares), given(size), count, seed)
    return min(values, key=lambda shares: values[shares]), values


def two_tasks(shares: Shares) -> float:
    """Two models with one weight, -1 and 3; losses (w - 0)^2 and 3 (w - 2)^2: lowest at w = 1.5."""
    weight = -1 * shares[0] + 3 * shares[1]
    return (weight**2 + 3 * (weight - 2) ** 2) / 2


def test_two_models_of_one_weight_are_mixed_as_calculus_says() -> None:
    best, values = found(two_tasks, 2, 10)
    assert best == (0.375, 0.625)
    assert len(values) <= 10


def tasks_apart(optimum: list[float]) -> Value:
    """A quadratic with axes that are not those of the tasks."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(len(optimum),) * 2))[0]
    stretch = turn @ np.diag(np.linspace(1, 4, len(optimum))) @ turn.T

    def value(shares: Shares) -> float:
        away = np.array(shares) - optimum
        return float(away @ stretch @ away) + 5

    return value


@pytest.mark.parametrize(
    "optimum", [[0.5, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [0.05, 0.05, 0.1, 0.2, 0.25, 0.35]], ids=len
)
def test_a_quadratic_is_solved_within_thirty_measurements(optimum: list[float]) -> None:
    best, values = found(tasks_apart(optimum), len(optimum), 30)
    assert distance(best, tuple(optimum)) < 0.02
    assert len(values) <= 30


def test_a_lowest_point_on_the_edge_is_reached() -> None:
    best, _ = found(lambda shares: (shares[0] - 0.7) ** 2 + shares[2], 3, 25)
    assert distance(best, (0.7, 0.3, 0.0)) < 0.02
    assert found(lambda shares: -shares[1], 3, 25)[0] == corner(3, 1)


def test_a_function_that_is_no_quadratic_is_descended_by_steps() -> None:
    target = np.array([0.62, 0.25, 0.13])
    best, _ = found(lambda shares: float(np.abs(np.array(shares) - target).max() ** 0.5), 3, 40)
    assert distance(best, rounded(target)) < 0.05


def test_the_way_depends_on_values_and_seed_alone_and_all_points_are_shares() -> None:
    value = tasks_apart([0.3, 0.3, 0.4])
    first, again = (found(value, 3, 20)[1] for _ in range(2))
    assert list(first) == list(again)
    assert list(first) != list(found(value, 3, 20, seed=2)[1])
    assert list(first)[:5] == list(dict.fromkeys(point.shares for point in given(3)))
    for shares in first:
        assert min(shares) >= 0
        assert round(sum(shares) * PARTS) == PARTS
        assert shares == rounded(shares)


def test_a_level_function_ends_before_the_budget() -> None:
    assert len(found(lambda _: 1.0, 2, 500)[1]) < 250


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 1, 2, 3], [1, 2, 3, 4], 0.948683298051),
        ([1, 2], [1, 2], None),
        ([1, 1, 1], [1, 2, 3], None),
    ],
)
def test_rank_correlation(one: list[float], other: list[float], expected: float | None) -> None:
    assert spearman(one, other) == expected
