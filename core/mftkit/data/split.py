"""Which rows are held out for validation: by hash, so that order, files and ids do not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def held_out(digests: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    """[n] bool: the round(fraction * n) rows of smallest digest, at least 1 where n >= 2.

    ``digests`` [n] are the leading 8 bytes of each row's sha256, whose order is theirs. Equal rows stay on
    one side: the held-out part takes the whole of a run of equal rows, or, where nothing would be left to
    train on, none of it.
    """
    n = len(digests)
    wanted = round(fraction * n)
    if n >= 2 and fraction > 0:
        wanted = max(wanted, 1)
    if wanted == 0:
        return np.zeros(n, dtype=bool)
    limit = np.sort(digests)[min(wanted, n) - 1]
    chosen: NDArray[np.bool_] = digests <= limit
    return digests < limit if chosen.all() else chosen


def held_out_groups(digests: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    """[n] bool: the rows of the groups whose digest is in the lowest ``fraction`` of all possible ones.

    Here a digest is a group's, so that rows of one group are on the same side in every task that has the same
    fraction. At least one group is held out where there are two.
    """
    if not len(digests) or fraction <= 0:
        return np.zeros(len(digests), dtype=bool)
    chosen = digests.astype(np.float64) < fraction * 2.0**64
    if not chosen.any():
        chosen = digests == digests.min()
    return digests < digests.max() if chosen.all() else chosen
