"""The steps of a run whose mixing changes: a pure function of the data, the seed, and what was drawn so far.

The steps form intervals. An interval draws as many samples, in the shares that hold then, as fill the rows of its
steps; each task's samples continue its stream where the last interval ended, so that none is repeated before all others
of its task were drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mftkit.batches.sampler import BatchSampler, GlobalBatch
from mftkit.data.mixing import apportion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.interfaces.tokenization import Layout

_INTERVAL = 0x696E74
"""Last part of the seeds of intervals, so that no epoch has the same seed."""


class ChangingSampler(BatchSampler):
    """Steps whose samples follow shares that change at the start of each interval.

    An epoch is as many steps as one at the mixer's first shares would have.
    """

    interval: int
    """Optimizer steps in an interval."""

    def start(self, interval: int) -> None:
        """Set the length of an interval, before any is decided."""
        self.interval = interval
        self.draws: list[list[int]] = []
        """[intervals][tasks] samples drawn in each interval that is decided: the state of the sampler."""
        self._interval_layouts: dict[int, Layout] = {}

    def decide(self, shares: NDArray[np.float64]) -> None:
        """Draw the next interval's samples by ``shares`` [tasks]."""
        number = len(self.draws)
        most_rows = self.interval * self._batch_size
        fits = max(self.interval, int((shares > 0).sum()))  # a row holds at least one sample
        too_many = 2 * fits
        while self._rows(number, apportion(shares, too_many)) <= most_rows:
            fits, too_many = too_many, 2 * too_many
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if self._rows(number, apportion(shares, middle)) <= most_rows:
                fits = middle
            else:
                too_many = middle
        counts = apportion(shares, fits)
        if (
            self._rows(number, counts) < self.interval
        ):  # one sample more made two rows more: a step has one too many
            counts = apportion(shares, too_many)
        self.draws.append(list(counts))

    def restore(self, draws: Sequence[Sequence[int]]) -> None:
        """Replace what was drawn by ``draws`` of a checkpoint."""
        self.draws = [list(counts) for counts in draws]
        self._interval_layouts = {}

    def knows_step_after(self, batch: GlobalBatch) -> bool:
        """Whether the interval of the step after ``batch`` is decided."""
        return batch.number // self.interval < len(self.draws)

    def __getitem__(self, number: int) -> GlobalBatch:
        """The global batch of step ``number``, from 1; its interval must be decided."""
        interval, place = divmod(number - 1, self.interval)
        layout = self._interval_layouts.get(interval)
        if layout is None:
            layout = self._layout_of(interval, self.draws[interval])
            self._interval_layouts = {interval: layout}
        # As evenly as possible: each step has the batch size, or some steps of an interval a row less.
        bounds = np.linspace(0, len(layout.offsets) - 1, self.interval + 1).round().astype(int)
        epoch = self._epoch_of(number)
        batch = self._batch(layout, number, self._first_epoch(interval), bounds[place], bounds[place + 1])
        return replace(batch, ends_epoch=number == self._end(epoch))

    def _first_epoch(self, interval: int) -> int:
        """The epoch of an interval's first step: all its samples have this epoch's form."""
        return self._epoch_of(interval * self.interval + 1)

    def _rows(self, interval: int, counts: Sequence[int]) -> int:
        return len(self._layout_of(interval, counts).offsets) - 1

    def _layout_of(self, interval: int, counts: Sequence[int]) -> Layout:
        assert self._mixture is not None, "changing shares are of a mixture"
        before = self.draws[:interval]
        starts = np.array(before).sum(0).tolist() if before else [0] * self._tasks
        drawn = self._mixture.take(starts, counts)
        order = np.random.default_rng([self._seed, interval, _INTERVAL]).permutation(len(drawn))
        return self._lay_out(drawn, order, self._first_epoch(interval))
