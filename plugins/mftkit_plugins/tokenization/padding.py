"""One sample a row: padded to ``max_length``, or to the longest of the micro-batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

import mftkit
from mftkit import Layout, TokenizationMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit import Batch, MicroBatch

RUNS_IN_A_POOL = 64
"""How many runs of similar length are cut from one stretch of the order: enough for runs to be nearly even,
few enough for an epoch to keep its random order at large."""


class Padding(TokenizationMode):
    """Each sample a row of ``max_length`` positions: every forward pass has the same shape."""

    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],  # noqa: ARG002
        order: NDArray[np.int64],
        max_length: int,  # noqa: ARG002
    ) -> Layout:
        """One sample a row, in the epoch's order."""
        return Layout(order, np.arange(len(lengths) + 1))

    def collate(self, samples: MicroBatch) -> Batch:
        """Rows of ``max_length`` positions."""
        return mftkit.collate(samples, pad_to=samples.max_length)


class DynamicPadding(TokenizationMode):
    """Each sample a row, as long as the longest row of its micro-batch."""

    class Options(mftkit.Options):
        """How rows are ordered."""

        group_by_length: int = Field(default=0, ge=0)
        """Puts samples of similar length into runs of this many rows, the runs in random order, so that a
        step pads less. 0: plainly random order (the rows of one step are sorted by length in any case)."""

    options: Options

    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],  # noqa: ARG002
        order: NDArray[np.int64],
        max_length: int,  # noqa: ARG002
    ) -> Layout:
        """One sample a row, in the epoch's order or in runs of similar length."""
        if self.options.group_by_length:
            order = order[_runs(lengths[order], self.options.group_by_length)]
        return Layout(order, np.arange(len(lengths) + 1))

    def collate(self, samples: MicroBatch) -> Batch:
        """Rows as long as the longest of them."""
        return mftkit.collate(samples)


def _runs(lengths: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A permutation of n positions that makes runs of ``size`` similar lengths.

    The order is cut into pools; each is sorted by length and cut into runs, which then come in the order
    of the position that their first member had: random, as the order is.
    """
    where = np.arange(len(lengths))
    grouped = np.lexsort((where, lengths, where // (size * RUNS_IN_A_POOL)))
    run = where // size
    first = grouped[run * size]
    by_first: NDArray[np.int64] = grouped[np.lexsort((where, first))]
    return by_first
