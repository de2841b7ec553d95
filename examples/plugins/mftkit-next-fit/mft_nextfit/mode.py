"""Packs samples in the given order: a row ends if the next sample does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import mftkit

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NextFit(mftkit.TokenizationMode):
    """Next-fit packing: makes more rows than best-fit; neighbors in the epoch's order stay neighbors."""

    class Options(mftkit.Options):
        """Options in a spec."""

        isolated: bool = True
        """Whether the samples of a row are isolated from each other."""

    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],  # noqa: ARG002
        order: NDArray[np.int64],
        max_length: int,
    ) -> mftkit.Layout:
        """Find the end of each row by bisection, so that the time is proportional to the number of rows."""
        ends = np.cumsum(lengths[order])
        offsets = [0]
        while offsets[-1] < len(order):
            filled = ends[offsets[-1] - 1] if offsets[-1] else 0
            offsets.append(int(np.searchsorted(ends, filled + max_length, side="right")))
        return mftkit.Layout(samples=order, offsets=np.array(offsets, dtype=np.int64))

    def collate(self, samples: mftkit.MicroBatch) -> mftkit.Batch:
        """Collate with mftkit: position ids restart at each sample if samples are isolated."""
        return mftkit.collate(samples, isolated=self.options.isolated)
