"""One sample per row: padded to ``max_length``, or to the longest row of the micro-batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

import mftkit
from mftkit import Layout, TokenizationMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit import Batch, MicroBatch

RUNS_PER_POOL = 64
"""Number of runs of similar length that are cut from one stretch of the order: enough for the lengths in a run to be
nearly equal, and few enough for an epoch to keep its random order at large."""


class Padding(TokenizationMode):
    """Each sample is a row of ``max_length`` positions: every forward pass has the same shape."""

    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],  # noqa: ARG002
        order: NDArray[np.int64],
        max_length: int,  # noqa: ARG002
    ) -> Layout:
        """Return one sample per row, in the epoch's order."""
        return Layout(order, np.arange(len(lengths) + 1))

    def collate(self, samples: MicroBatch) -> Batch:
        """Return rows of ``max_length`` positions."""
        return mftkit.collate(samples, pad_to=samples.max_length)

    def describe(self) -> str:
        """Return that rows hold one sample."""
        return "rows of one sample, all of max_length"


class DynamicPadding(TokenizationMode):
    """Each sample is a row, as long as the longest row of its micro-batch."""

    class Options(mftkit.Options):
        """How rows are ordered."""

        group_by_length: int = Field(default=0, ge=0)
        """Put samples of similar length into runs of this many rows, in random order, so that a step needs less
        padding. 0: purely random order (the rows of one step are sorted by length in any case)."""

    options: Options

    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],  # noqa: ARG002
        order: NDArray[np.int64],
        max_length: int,  # noqa: ARG002
    ) -> Layout:
        """Return one sample per row, in the epoch's order or in runs of similar length."""
        if self.options.group_by_length:
            order = order[_runs(lengths[order], self.options.group_by_length)]
        return Layout(order, np.arange(len(lengths) + 1))

    def collate(self, samples: MicroBatch) -> Batch:
        """Return rows as long as the longest of them."""
        return mftkit.collate(samples)

    def describe(self) -> str:
        """Return that rows hold one sample, and whether similar lengths are put together."""
        return "rows of one sample" + (", grouped by length" if self.options.group_by_length else "")


def _runs(lengths: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return a permutation of n positions that makes runs of ``size`` similar lengths.

    The order is cut into pools. Each is sorted by length and cut into runs, and runs are ordered by the original
    position of their first member, which is random because the order is.
    """
    position = np.arange(len(lengths))
    grouped = np.lexsort((position, lengths, position // (size * RUNS_PER_POOL)))
    run = position // size
    first = grouped[run * size]
    by_first: NDArray[np.int64] = grouped[np.lexsort((position, first))]
    return by_first
