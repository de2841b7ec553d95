"""Makes the batch of each forward pass, in training and in validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from mftkit.batches.ahead import StepBatch
from mftkit.batches.collate import idle_batch
from mftkit.batches.joining import join_rows
from mftkit.interfaces.tokenization import MicroBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mftkit.batches.sampler import GlobalBatch
    from mftkit.data.corpus import Samples
    from mftkit.interfaces.tokenization import Batch, Sample
    from mftkit.processes import Processes


@dataclass(frozen=True)
class Batcher:
    """Makes the batches of one process."""

    processes: Processes
    micro_batch_size: int
    """The most rows of ``max_length`` tokens in a forward pass of this process."""
    max_length: int
    pad_id: int
    length_step: int = 1
    """As in ``MicroBatch``."""
    least_rows: int = 1
    """As in ``MicroBatch``."""
    joins_rows: bool = False
    """Whether a batch is one row without padding. A micro-batch then holds as many rows as have the tokens of
    ``micro_batch_size`` rows that are as long as the step's longest."""

    def batch(
        self,
        samples: Samples,
        rows: Sequence[Sequence[int] | NDArray[np.int64]],
        collate: Callable[[MicroBatch], Batch],
    ) -> Batch:
        """The batch of some rows of samples, on this process's device; an idle one if there are no rows."""
        return self.on_host(samples, rows, collate).to(self.processes.device)

    def step(self, batch: GlobalBatch, samples: Samples, collate: Callable[[MicroBatch], Batch]) -> StepBatch:
        """The part of a global batch that this process trains, in memory that its device reads by itself."""
        samples, processes = samples.in_epoch(batch.epoch), self.processes
        rows = self._rows(batch, samples)
        made = [self.on_host(samples, each, collate) for each in rows]
        if processes.device.type == "cuda":
            with torch.cuda.device(processes.device):  # in another thread, it would be the first one
                made = [each.pin_memory() for each in made]
        return StepBatch(batch, rows, made)

    def _rows(self, batch: GlobalBatch, samples: Samples) -> list[list[NDArray[np.int64]]]:
        """The rows of this process's micro-batches."""
        size, processes = self.micro_batch_size, self.processes
        if not self.joins_rows or batch.row_task is not None:
            return batch.micro_batches(size, processes.rank, processes.count)
        lengths = [int(samples.lengths[row].sum()) for row in batch.rows]
        # No more at once than as many rows as the longest, which have fitted.
        return batch.micro_batches_of_tokens(lengths, size * max(lengths), processes.rank, processes.count)

    def on_host(
        self,
        samples: Samples,
        rows: Sequence[Sequence[int] | NDArray[np.int64]],
        collate: Callable[[MicroBatch], Batch],
    ) -> Batch:
        """As ``batch``, in the host's memory."""
        if not len(rows):
            return idle_batch(self.pad_id)
        members = tuple(tuple(samples[int(i)] for i in row) for row in rows)
        batch = collate(MicroBatch(members, self.max_length, self.pad_id, self.length_step, self.least_rows))
        return _with_sample_weights(join_rows(batch) if self.joins_rows else batch, members)


def _with_sample_weights(batch: Batch, rows: tuple[tuple[Sample, ...], ...]) -> Batch:
    """The batch with its samples' weights, which a tokenization mode need not know; itself if all are 1."""
    weights = {sample.index: sample.weight for row in rows for sample in row if sample.weight != 1}
    if not weights:
        return batch
    sample_weight = [weights.get(index, 1.0) for index in batch.sample_index]
    return replace(batch, sample_weight=torch.tensor(sample_weight, dtype=torch.float64))
