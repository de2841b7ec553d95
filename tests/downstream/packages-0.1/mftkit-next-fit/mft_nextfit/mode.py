"""Rows of the samples in the order they come: a row ends where the next sample does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import mftkit

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NextFit(mftkit.TokenizationMode):
    """Next-fit packing: more rows than best-fit makes; neighbours in the epoch's order stay neighbours."""

    class Options(mftkit.Options):
        """What a spec may set."""

        isolated: bool = True
        """Whether the samples of a row are kept from seeing each other."""

    def layout(
        self,
        lengths: NDArray[np.int64],
        tasks: NDArray[np.int64],
        order: NDArray[np.int64],
        max_length: int,
    ) -> mftkit.Layout:
        """Each step finds by bisection where the row ends, so the time goes with the number of rows."""
        ends = np.cumsum(lengths[order])
        offsets = [0]
        while offsets[-1] < len(order):
            filled = ends[offsets[-1] - 1] if offsets[-1] else 0
            offsets.append(int(np.searchsorted(ends, filled + max_length, side="right")))
        return mftkit.Layout(samples=order, offsets=np.array(offsets, dtype=np.int64))

    def collate(self, samples: mftkit.MicroBatch) -> mftkit.Batch:
        """Mftkit's own collation: position ids restart at each sample where samples are isolated."""
        return mftkit.collate(samples, isolated=self.options.isolated)
