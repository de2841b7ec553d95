"""Rank correlations of predicted with measured losses, with permutation tests and bootstrap intervals."""

from __future__ import annotations

from itertools import permutations, product
from math import factorial, prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

EXACT = 5000
"""Rearrangements up to which the permutation test looks at all of them."""
RANDOM = 2000
"""Random rearrangements, and bootstrap resamples."""


def ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs.

    >>> ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    below = (values[None] < values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return np.asarray(below + (equal + 1) / 2)


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation; NaN if either has no two different values."""
    a, b = ranks(one), ranks(other)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def kendall(one: Floats, other: Floats) -> float:
    """Kendall's tau-b, which allows for equal values; NaN if either has no two different values."""
    a = np.sign(one[:, None] - one[None])
    b = np.sign(other[:, None] - other[None])
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float("nan")


def p_value(
    statistic: Callable[[Floats, Floats], float], one: Floats, other: Floats, block: Ints, seed: int
) -> float:
    """The share of rearrangements of ``other`` within blocks that have at least this statistic: one-sided.

    All of them if there are at most ``EXACT``, else ``RANDOM`` random ones and the observed one. NaN if the statistic
    is.
    """
    observed = statistic(one, other)
    if np.isnan(observed):
        return float("nan")
    blocks = [np.flatnonzero(block == each) for each in np.unique(block)]
    exact = prod(factorial(min(len(each), 12)) for each in blocks) <= EXACT
    orders = _all(blocks) if exact else _random(blocks, np.random.default_rng(seed))
    at_least, count = (0, 0) if exact else (1, 1)
    for order in orders:
        value = statistic(one, other[order])
        at_least += bool(value >= observed - 1e-12)
        count += 1
    return at_least / count


def interval(
    statistic: Callable[[Floats, Floats], float], one: Floats, other: Floats, seed: int
) -> tuple[float, float]:
    """The 95% percentile bootstrap interval over points; NaN if hardly any resample has a statistic."""
    random = np.random.default_rng(seed)
    draws = random.integers(0, len(one), (RANDOM, len(one)))
    found = np.array([statistic(one[draw], other[draw]) for draw in draws])
    found = found[~np.isnan(found)]
    if len(found) < RANDOM / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _all(blocks: Sequence[Ints]) -> Iterator[Ints]:
    size = sum(map(len, blocks))
    for chosen in product(*(permutations(each.tolist()) for each in blocks)):
        order = np.empty(size, dtype=np.int64)
        for each, rearranged in zip(blocks, chosen, strict=True):
            order[each] = rearranged
        yield order


def _random(blocks: Sequence[Ints], random: np.random.Generator) -> Iterator[Ints]:
    for _ in range(RANDOM):
        order = np.empty(sum(map(len, blocks)), dtype=np.int64)
        for each in blocks:
            order[each] = random.permutation(each)
        yield order
