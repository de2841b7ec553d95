"""Chooses the rows that are held out for validation, by hash: order, files and ids do not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def held_out(digests: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    """Return a mask [n] of the round(fraction * n) rows with the smallest digests, at least 1 if n >= 2.

    ``digests`` [n] are the leading 8 bytes of each row's sha256, in the same order. Equal rows stay together: the
    held-out part takes all of a run of equal rows or, if that would leave nothing to train on, none of it.
    """
    n = len(digests)
    number = round(fraction * n)
    if n >= 2 and fraction > 0:
        number = max(number, 1)
    if number == 0:
        return np.zeros(n, dtype=bool)
    limit = np.sort(digests)[min(number, n) - 1]
    chosen: NDArray[np.bool_] = digests <= limit
    return digests < limit if chosen.all() else chosen


def held_out_groups(digests: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    """Return a mask [n] of the rows whose group's digest is in the lowest ``fraction`` of all possible digests.

    Here a digest is that of a group, so rows of one group are on the same side in every task with the same fraction.
    If there are two groups or more, at least one is held out.
    """
    if not len(digests) or fraction <= 0:
        return np.zeros(len(digests), dtype=bool)
    chosen = digests.astype(np.float64) < fraction * 2.0**64
    if not chosen.any():
        chosen = digests == digests.min()
    return digests < digests.max() if chosen.all() else chosen
