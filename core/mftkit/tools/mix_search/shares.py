"""Points of the simplex: each task's share of the samples, at a fixed precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PARTS = 1000
"""Shares are multiples of 1 / PARTS: equal points are recognized, and a spec can be read."""

Shares = tuple[float, ...]
"""Shares [tasks] that are at least 0 and sum to 1."""


def rounded(values: Sequence[float] | NDArray[np.float64]) -> Shares:
    """The nearest multiples of 1 / PARTS that sum to 1, by largest remainders.

    >>> rounded([1, 1, 1])
    (0.334, 0.333, 0.333)
    """
    given = np.asarray(values, dtype=np.float64)
    exact = given / given.sum() * PARTS
    whole = np.floor(exact + 1e-9).astype(int)
    for index in np.argsort(-(exact - whole), kind="stable")[: PARTS - int(whole.sum())]:
        whole[index] += 1
    return tuple(int(part) / PARTS for part in whole)


def corner(size: int, index: int) -> Shares:
    """All of one task."""
    return tuple(float(number == index) for number in range(size))


def distance(one: Shares, other: Shares) -> float:
    """The share that has to move from some tasks to others to make one point the other (total variation), 0..1."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2
