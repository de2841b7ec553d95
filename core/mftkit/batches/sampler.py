"""Which samples each optimizer step trains on: a pure function of the data, the seed and the step."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.data.corpus import Samples
    from mftkit.data.mixing import Mixture
    from mftkit.interfaces.tokenization import Layout, TokenizationMode


@dataclass(frozen=True)
class GlobalBatch:
    """The samples of one optimizer step, over all processes and micro-batches."""

    number: int
    """Number of the step, from 1."""
    epoch: int
    """From 0."""
    ends_epoch: bool
    rows: list[NDArray[np.int64]]
    """The samples of each packed row, longest row first, so that a micro-batch holds rows of similar length."""
    tokens: NDArray[np.float64]
    """[tasks] loss tokens in the global batch."""
    samples: NDArray[np.float64]
    """[tasks] samples in the global batch."""
    row_task: NDArray[np.int64] | None = None
    """Each row's task, if a forward pass may hold rows of one task only; None otherwise."""

    def is_due(self, every: int | Literal["epoch"]) -> bool:
        """Return True if something that happens every ``every`` steps, or after each epoch, happens after this one."""
        return self.ends_epoch if every == "epoch" else self.number % every == 0

    def micro_batches(
        self, micro_batch_size: int, rank: int, processes: int
    ) -> list[list[NDArray[np.int64]]]:
        """The rows of each micro-batch of process ``rank``: equally many in every process, so one may be empty.

        Losses are exact over the global batch, so any split gives the same gradient. This one gives the processes rows
        of about the same length at the same time.
        """
        if self.row_task is not None:
            pieces = self._micro_batches_of_one_task(micro_batch_size)
            count = math.ceil(len(pieces) / processes)
            pieces += [[]] * (count * processes - len(pieces))
            return pieces[rank::processes]
        count = math.ceil(len(self.rows) / (micro_batch_size * processes))
        bounds = np.linspace(0, len(self.rows), count * processes + 1).round().astype(int)
        return [
            self.rows[bounds[i * processes + rank] : bounds[i * processes + rank + 1]] for i in range(count)
        ]

    def micro_batches_of_tokens(
        self, lengths: Sequence[int], most: int, rank: int, processes: int
    ) -> list[list[NDArray[np.int64]]]:
        """As ``micro_batches``, but as few as possible of at most ``most`` tokens each, whatever their rows.

        ``lengths`` are the tokens of each row. Each row, the longest first, joins the micro-batch that has the fewest
        tokens by then.
        """
        # No micro-batch has more than most // n rows of at least n tokens.
        each_fits = (math.ceil((i + 1) / max(1, most // max(1, n))) for i, n in enumerate(lengths))
        count = math.ceil(max(sum(lengths) / most, *each_fits) / processes)
        while True:
            bins = [(0, i) for i in range(count * processes)]
            rows: list[list[NDArray[np.int64]]] = [[] for _ in bins]
            for row, length in zip(self.rows, lengths, strict=True):
                tokens, i = bins[0]
                heapq.heapreplace(bins, (tokens + length, i))
                rows[i].append(row)
            if max(tokens for tokens, _ in bins) <= most or count * processes >= len(lengths):
                fullest = sorted(bins, key=lambda each: (-each[0], each[1]))
                return [rows[i] for _, i in fullest][rank::processes]
            count += 1

    def _micro_batches_of_one_task(self, micro_batch_size: int) -> list[list[NDArray[np.int64]]]:
        """All rows, in as few evenly filled micro-batches of one task as possible, the longest first."""
        assert self.row_task is not None, "the rows' tasks are known"
        pieces = []
        for task in np.unique(self.row_task):
            of_task = np.flatnonzero(self.row_task == task)
            pieces += np.array_split(of_task, math.ceil(len(of_task) / micro_batch_size))
        pieces.sort(key=lambda piece: int(piece[0]))  # rows come longest first
        return [[self.rows[i] for i in piece] for piece in pieces]


class BatchSampler:
    """All steps of a run. An epoch's order depends on (seed, epoch) alone, so resuming needs only the step's number."""

    def __init__(
        self,
        samples: Samples,
        mode: TokenizationMode,
        *,
        tasks: int,
        seed: int,
        batch_size: int,
        max_length: int,
        epochs: float,
        max_steps: int | None,
        mixture: Mixture | None = None,
        group_by_task: bool = False,
    ) -> None:
        self._samples = samples
        self._mode = mode
        self._tasks = tasks
        self._seed = seed
        self._batch_size = batch_size
        self._max_length = max_length
        self._mixture = mixture
        self._group_by_task = group_by_task
        self._layouts: dict[int, Layout] = {}
        self._ends: list[int] = []  # the step after which each epoch ends
        self.total = self.steps_of(epochs, max_steps)
        first = self.layout(0)
        self.rows_per_epoch = len(first.offsets) - 1
        self.tokens_per_epoch = int(samples.lengths[first.samples].sum())
        """Tokens of the first epoch, in the loss or not."""

    def steps_of(self, epochs: float, max_steps: int | None) -> int:
        """The steps of a run of that length; ``max_steps`` overrides ``epochs``."""
        if max_steps is not None:
            return max_steps
        whole, part = int(epochs), epochs - int(epochs)
        if not part:
            return self._end(whole - 1)
        before = self._end(whole - 1) if whole else 0
        return before + math.ceil(round(part * (self._end(whole) - before), 6))

    @property
    def ends(self) -> list[int]:
        """The step after which each epoch ends, as far as it is known: without it, every epoch has to be laid out."""
        return list(self._ends)

    def restore_ends(self, ends: Sequence[int]) -> None:
        """Set where epochs end, as it was found before."""
        self._ends = list(ends)

    def _end(self, epoch: int) -> int:
        while len(self._ends) <= epoch:
            rows = len(self.layout(len(self._ends)).offsets) - 1
            self._ends.append((self._ends[-1] if self._ends else 0) + math.ceil(rows / self._batch_size))
        return self._ends[epoch]

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the first epoch; a mode may need a row more or less in another one."""
        return self._end(0)

    def layout(self, epoch: int) -> Layout:
        """The rows of an epoch, checked; only the latest epoch is kept."""
        found = self._layouts.get(epoch)  # read once: another thread may be at the next epoch
        if found is None:
            found = self._laid_out(epoch)
            self._layouts = {epoch: found}
        return found

    def _laid_out(self, epoch: int) -> Layout:
        drawn = None if self._mixture is None else self._mixture.epoch(epoch)
        count = len(self._samples.in_epoch(epoch).task) if drawn is None else len(drawn)
        order = np.random.default_rng([self._seed, epoch]).permutation(count)
        return self._lay_out(drawn, order, epoch)

    def _lay_out(self, drawn: NDArray[np.int64] | None, order: NDArray[np.int64], epoch: int) -> Layout:
        """With mixing, the mode sees each drawn sample as a separate one, so that it need not know about mixing."""
        samples = self._samples.in_epoch(epoch)
        lengths, task = samples.lengths, samples.task
        if drawn is not None:
            lengths, task = lengths[drawn], task[drawn]
        layout = self._mode.layout(lengths, task, order, self._max_length)
        check_layout(layout, lengths, self._max_length, type(self._mode).__name__)
        if self._group_by_task:
            check_rows_of_one_task(layout, task, type(self._mode).__name__)
        return layout if drawn is None else replace(layout, samples=drawn[layout.samples])

    def epochs_done(self, step: int) -> float:
        """Epochs done after ``step`` steps, with the share of the started one."""
        if step == 0:
            return 0.0
        epoch = self._epoch_of(step)
        start = self._end(epoch - 1) if epoch else 0
        return epoch + (step - start) / (self._end(epoch) - start)

    def _epoch_of(self, number: int) -> int:
        while not self._ends or self._ends[-1] < number:
            self._end(len(self._ends))
        return bisect_left(self._ends, number)

    def knows_step_after(self, batch: GlobalBatch) -> bool:
        """Whether the batch of the step after ``batch`` can be made before ``batch`` was trained.

        A chunk of streamed data takes the place of the one before, so it is made only when it is needed.
        """
        return not (batch.ends_epoch and self._samples.is_streamed)

    def __getitem__(self, number: int) -> GlobalBatch:
        """The global batch of step ``number``, from 1."""
        epoch = self._epoch_of(number)
        layout = self.layout(epoch)
        first = (number - 1 - (self._end(epoch - 1) if epoch else 0)) * self._batch_size
        return self._batch(layout, number, epoch, first, first + self._batch_size)

    def _batch(self, layout: Layout, number: int, epoch: int, first: int, last: int) -> GlobalBatch:
        """The global batch of rows ``first`` to ``last`` of a layout, or to its end."""
        samples = self._samples.in_epoch(epoch)
        bounds = layout.offsets[first : last + 1]
        rows = [layout.samples[a:b] for a, b in pairwise(bounds)]
        rows.sort(key=lambda row: int(samples.lengths[row].sum()), reverse=True)
        members = layout.samples[bounds[0] : bounds[-1]]
        task = samples.task[members]
        return GlobalBatch(
            number=number,
            epoch=epoch,
            ends_epoch=number == self._end(epoch),
            rows=rows,
            tokens=np.bincount(task, samples.loss_tokens[members], self._tasks).astype(np.float64),
            samples=np.bincount(task, None, self._tasks).astype(np.float64),
            row_task=np.array([samples.task[row[0]] for row in rows]) if self._group_by_task else None,
        )


def check_layout(
    layout: Layout, lengths: NDArray[np.int64] | Sequence[int], max_length: int, mode: str
) -> None:
    """Raise MftError for a layout that loses, repeats or overfills: training on it would be silently wrong."""
    if not (hasattr(layout, "samples") and hasattr(layout, "offsets")):
        raise MftError(
            f"tokenization: {mode}.layout must return a mftkit.Layout, but returned {type(layout).__name__}. "
            "Fix the plugin."
        )
    lengths = np.asarray(lengths)
    samples, offsets = np.asarray(layout.samples), np.asarray(layout.offsets)
    if not np.array_equal(np.sort(samples), np.arange(len(lengths))):
        raise MftError(
            f"tokenization: {mode}.layout must use each of the {len(lengths)} samples exactly once. Fix the plugin."
        )
    if offsets[0] != 0 or offsets[-1] != len(samples) or (np.diff(offsets) <= 0).any():
        raise MftError(
            f"tokenization: {mode}.layout returned offsets that do not rise from 0 to {len(samples)}. Fix the plugin."
        )
    longest = int(np.add.reduceat(lengths[samples], offsets[:-1]).max(initial=0))
    if longest > max_length:
        raise MftError(
            f"tokenization: {mode}.layout made a row of {longest} tokens, but max_length is {max_length}. "
            "Fix the plugin."
        )


def check_rows_of_one_task(layout: Layout, task: NDArray[np.int64], mode: str) -> None:
    """Raise MftError for rows that hold several tasks: a forward pass over one cannot tell their gradients apart."""
    tasks, starts = np.asarray(task)[layout.samples], layout.offsets[:-1]
    mixed = np.maximum.reduceat(tasks, starts) != np.minimum.reduceat(tasks, starts)
    if mixed.any():
        raise MftError(
            f'training.grouping: "task" needs rows that hold one task each, but {int(mixed.sum())} of the '
            f"{len(starts)} rows that {mode} makes hold several. Set tokenization.options.scope to "
            '"task" if the mode has that option, or choose a mode of one sample per row.'
        )
