"""Paired tests over the rows of a task: the same rows, answered by two arms.

Rows are the unit: a row's results under several seeds are averaged first, because they are no independent trials.

- McNemar's exact test, for answers that are right or wrong: under the hypothesis that the arms are alike, a row on
  which they differ favours either with probability 1/2, so the number of rows that favour one is binomial. With one
  seed and one answer per row this is McNemar's test itself; with several, the sign test of the rows' mean differences.
- The paired bootstrap (Koehn, EMNLP 2004), for other scores and for all intervals: rows are drawn with replacement, the
  same ones for both arms and all seeds, and the metric of both is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
MCNEMAR, BOOTSTRAP = "mcnemar", "bootstrap"


@dataclass(frozen=True)
class PairedTest:
    """An arm minus the reference, on the same rows of a task."""

    task: str
    metric: str
    """"EVALUATOR/METRIC"."""
    arm: str
    reference: str
    test: str
    """"mcnemar" where answers are right or wrong, else "bootstrap"."""
    rows: int
    seeds: int
    difference: float
    """Of the metric: the mean over seeds."""
    low: float
    high: float
    """The 95 % interval of the difference, by paired bootstrap over rows."""
    p: float
    """Two-sided."""
    p_adjusted: float | None = None
    """With Holm's correction for all tests of the comparison."""
    favours_arm: int | None = None
    """Rows that the arm answers better, for "mcnemar"."""
    favours_reference: int | None = None
    p_pairs: float | None = None
    """McNemar's test on all pairs of answers of a row and a seed, as if these were independent."""


def exact_p(one: int, other: int) -> float:
    """McNemar's exact two-sided p-value, from the numbers of pairs that favour either side.

    >>> exact_p(0, 5), exact_p(3, 3), exact_p(0, 0)
    (0.0625, 1.0, 1.0)
    """
    count = one + other
    tail = ways = 1
    for k in range(min(one, other)):
        ways = (
            ways * (count - k) // (k + 1)
        )  # to choose k + 1 of them; each by itself takes minutes for 10,000 rows
        tail += ways
    return min(1.0, float(2 * tail / 2**count))


def favours(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[int, int]:
    """Numbers of rows whose mean over seeds is higher for either; ``one`` and ``other`` are [seeds, rows].

    Equal up to rounding is equal.
    """
    mean = (one - other).mean(axis=0)
    return int((mean > 1e-9).sum()), int((mean < -1e-9).sum())


def bootstrap(
    difference: Callable[[NDArray[np.int64]], float], rows: int, seed: int
) -> tuple[float, float, float]:
    """Bounds of the 95 % interval of a difference, and a two-sided p-value for no difference.

    The p-value is twice the share of resamples on the other side of 0, or at it; with the given rows counted as one of
    the resamples, so that it is never 0. Nor is it below 2 / 2^rows, the least that a test which turns the signs of the
    rows' differences can give: of two rows that favour the same side every resample does, and that is no evidence.

    Args:
        difference: of the rows with these indices, of which some are repeated.
        rows: number of rows.
        seed: decides which rows are drawn.
    """
    random = np.random.default_rng(seed)
    drawn = np.array([difference(random.integers(rows, size=rows)) for _ in range(RESAMPLES)])
    tail = (1 - LEVEL) / 2
    low, high = (float(np.quantile(drawn, at)) for at in (tail, 1 - tail))
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    least = 2.0 ** (1 - rows)
    return low, high, min(1.0, max(least, 2 * (beyond + 1) / (RESAMPLES + 1)))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979): all of them below 0.05 hold together with 95 %.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    found, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        found[index] = highest
    return found
