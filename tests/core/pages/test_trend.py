from __future__ import annotations

import itertools
import math
import random

import pytest

from mftkit.pages.trend import noise, trend


def best_error(losses: list[float]) -> float:
    """The least error over all courses whose levels are means of stretches: by trying every way to cut them."""
    least = float("inf")
    for cuts in itertools.product((False, True), repeat=len(losses) - 1):
        blocks, start = [], 0
        for end in [*(i + 1 for i, cut in enumerate(cuts) if cut), len(losses)]:
            blocks.append(losses[start:end])
            start = end
        means = [sum(block) / len(block) for block in blocks]
        turns = [a < b for a, b in itertools.pairwise(means)]
        if turns == sorted(turns):
            error = sum((y - m) ** 2 for block, m in zip(blocks, means, strict=True) for y in block)
            least = min(least, error)
    return least


@pytest.mark.parametrize("seed", range(6))
def test_the_trend_is_the_closest_fall_and_rise(seed: int) -> None:
    drawn = random.Random(seed)
    losses = [drawn.gauss(0, 1) for _ in range(9)]
    fit = trend(losses).fit
    turns = [b > a + 1e-12 for a, b in itertools.pairwise(fit) if abs(a - b) > 1e-12]
    assert turns == sorted(turns)
    error = sum((y - f) ** 2 for y, f in zip(losses, fit, strict=True))
    assert error == pytest.approx(best_error(losses))


@pytest.mark.parametrize("losses", [[1.0], [3.0, 2.0, 1.0], [1.0, 2.0], [3.0, 1.0, 2.0], [2.0, 2.0, 2.0]])
def test_a_course_that_only_falls_and_then_rises_has_no_scatter(losses: list[float]) -> None:
    found = trend(losses)
    assert found.fit == losses
    assert found.scatter == 0


def test_the_scatter_is_that_of_the_noise() -> None:
    drawn = random.Random(0)
    losses = [3 - i / 100 + drawn.gauss(0, 0.1) for i in range(200)]
    assert trend(losses).scatter == pytest.approx(0.1, rel=0.25)


def test_few_tokens_a_scatter_and_many_validations_widen_the_noise() -> None:
    assert noise(0.0, 5, 2.0, 100) == pytest.approx(0.2)
    assert noise(0.0, 5, 2.0, 10_000) == pytest.approx(0.02)
    assert noise(0.0, 5, 0.01, 100) == pytest.approx(0.02)  # most tokens are certain
    assert noise(0.1, 8, 2.0, 0) == pytest.approx(0.1 * (2 + (2 * math.log(8)) ** 0.5))
    assert noise(0.1, 50, 2.0, 0) > noise(0.1, 8, 2.0, 0)
    assert noise(0.0, 5, 2.0, 0) == 0
