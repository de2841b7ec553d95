"""Mixing: how many samples of each task an epoch draws, and which.

Each task has an endless stream of its samples: one pass over all of them after another, each in an order of
its own. An epoch takes the next so many of each stream. So no sample comes again before the others of its task
have come, a task of which an epoch draws a part is seen whole over several epochs, and which samples an epoch
draws is a pure function of the seed and its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit.data.samples import Samples
    from mftkit.spec import MixingSpec, TaskSpec

_STREAM = 0x6D6978
"""Ends the seeds of streams, so that they are no seed of anything else."""
_BLOCK = 4096
"""Samples of a stream that are drawn at once, or one pass where that is more."""

_LEAST = 1e-300
"""Of a task's part by temperature: no task is left out."""


@dataclass(frozen=True)
class Mixture:
    """The epochs of a run that mixes its tasks."""

    task: NDArray[np.int64]
    """[n]: the task of each sample of the data."""
    draws: tuple[int, ...]
    """Samples that an epoch draws of each task."""
    seed: int

    def epoch(self, number: int) -> NDArray[np.int64]:
        """The samples of an epoch (from 0), task by task; one that is drawn twice is there twice."""
        drawn = [self._drawn(task, number * count, count) for task, count in enumerate(self.draws)]
        return np.concatenate(drawn)

    def _drawn(self, task: int, start: int, count: int) -> NDArray[np.int64]:
        """Samples ``start`` to ``start + count`` of a task's stream."""
        own = self._own[task]
        if not count:
            return own[:0]
        passes = -(-_BLOCK // len(own))
        block = passes * len(own)
        first, last = start // block, (start + count - 1) // block
        stream = [self._block(task, number, passes) for number in range(first, last + 1)]
        return own[np.concatenate(stream)[start - first * block :][:count]]

    def _block(self, task: int, number: int, passes: int) -> NDArray[np.int64]:
        random = np.random.default_rng([self.seed, number, task, _STREAM])
        each = np.tile(np.arange(len(self._own[task])), (passes, 1))
        return random.permuted(each, axis=1).ravel()

    @cached_property
    def _own(self) -> list[NDArray[np.int64]]:
        """Each task's samples."""
        return [np.flatnonzero(self.task == task) for task in range(len(self.draws))]


def mixture(mixing: MixingSpec, tasks: list[TaskSpec], samples: Samples, seed: int) -> Mixture:
    """What ``mixing`` makes of the training samples, of which every task has one."""
    counts = np.bincount(samples.task, minlength=len(tasks)).astype(np.float64)
    tokens = np.bincount(samples.task, samples.counting, len(tasks))
    sizes = counts if mixing.by == "samples" else tokens
    if mixing.proportions is not None:
        parts = np.array([mixing.proportions[task.name] for task in tasks])
    else:
        assert mixing.temperature is not None, "the spec has one of the two"
        powers = np.log(sizes) / mixing.temperature
        parts = np.maximum(np.exp(powers - powers.max()), _LEAST)
    if mixing.by == "tokens":  # as many samples as have so many tokens on average
        parts = parts * counts / tokens
    return Mixture(samples.task, apportion(parts, mixing.epoch_samples or len(samples)), seed)


def apportion(parts: NDArray[np.float64], total: int) -> tuple[int, ...]:
    """Whole numbers that sum to ``total``, in proportion to ``parts`` by largest remainders; at least 1 for a part
    that is not 0.

    >>> apportion(np.array([5.0, 3.0, 0.0, 1e-9]), 9)
    (5, 3, 0, 1)
    """
    exact = parts / parts.max() / (parts / parts.max()).sum() * total
    counts = np.maximum(np.floor(exact), parts > 0)
    while counts.sum() < total:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return tuple(int(count) for count in counts)
