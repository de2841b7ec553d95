"""Searches the simplex for the proportions of the lowest value, with a fixed number of measurements.

Given points come first, then points at random. The rest are by turns the lowest point of a quadratic surface through
all values, and steps around the best point, toward a corner or away from it, which become smaller. What is tried
depends on the values and the seed alone, so that a search which was stopped takes the same way again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mftkit.tools.mix_search.shares import corner, rounded
from mftkit.tools.mix_search.surface import lowest_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mftkit.tools.mix_search.shares import Shares

FIRST_STEP, LAST_STEP = 0.25, 0.015
AT_RANDOM = 0.4
"""Part of the measurements beside the given points that is drawn from the whole simplex."""


class Point(NamedTuple):
    """Proportions, and why they are tried."""

    shares: Shares
    origin: str


def search(
    measure: Callable[[Point], float], given: Sequence[Point], count: int, seed: int
) -> dict[Shares, float]:
    """Measure at most ``count`` points; fewer if no step around the best one is lower.

    Args:
        measure: the value of a point; lower is better.
        given: measured first, at least one.
        count: number of points.
        seed: decides which points are drawn.

    Returns the value of each point, in the order of measuring.
    """
    known: dict[Shares, float] = {}
    for point in _proposals(given, known, count, np.random.default_rng(seed)):
        if point.shares not in known:
            known[point.shares] = measure(point)
        if len(known) >= count:
            break
    return known


def _proposals(
    given: Sequence[Point], known: Mapping[Shares, float], count: int, draws: np.random.Generator
) -> Iterator[Point]:
    yield from given
    size = len(given[0].shares)
    for _ in range(round(AT_RANDOM * (count - len(known)))):
        yield Point(rounded(draws.dirichlet(np.ones(size))), "random")
    around = _Around(size, known)
    while True:
        lowest = lowest_point(known, draws)
        if lowest not in known:
            yield Point(lowest, "surface")
        step = around.step()
        if step is None and lowest in known:
            return
        if step is not None:
            yield Point(step, "step")


class _Around:
    """Steps around the best point."""

    def __init__(self, size: int, known: Mapping[Shares, float]) -> None:
        self._size, self._known = size, known
        self._length = FIRST_STEP
        self._centre: Shares | None = None
        self._open: list[Shares] = []

    def step(self) -> Shares | None:
        """A point that was not measured; None if there is none in any direction at the smallest length."""
        best = min(self._known, key=lambda shares: self._known[shares])
        if best != self._centre:
            self._centre, self._open = best, self._all(best)
        while True:
            while self._open:
                if (point := self._open.pop(0)) not in self._known:
                    return point
            self._length /= 2
            if self._length < LAST_STEP:
                return None
            self._open = self._all(best)

    def _all(self, centre: Shares) -> list[Shares]:
        """Toward each corner, and away from it."""
        found = []
        for index in range(self._size):
            there = np.array(corner(self._size, index))
            toward = np.array(centre) + self._length * (there - np.array(centre))
            away = np.array(centre) * np.where(there == 1, 1 - self._length, 1)
            found += [rounded(each) for each in (toward, away) if each.sum() > 0]
        return found
