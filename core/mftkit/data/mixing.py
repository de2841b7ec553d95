"""Mixing: how many samples of each task an epoch draws, and which.

Each task has an endless stream of its samples: one shuffled pass over all of them after another. An epoch takes the
next samples of each stream. So no sample is repeated before all others of its task were drawn; a task of which an epoch
draws a part is seen completely over several epochs; and the samples of an epoch are a pure function of the seed and its
number.
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
"""Last part of the seeds of streams, so that nothing else has the same seed."""
_BLOCK = 4096
"""Samples of a stream that are drawn at once, or one pass if that is more."""

_LEAST = 1e-300
"""Smallest share of a task by temperature, so that no task is left out."""


@dataclass(frozen=True)
class Mixture:
    """The epochs of a run that mixes its tasks."""

    task: NDArray[np.int64]
    """[n]: task of each training sample."""
    draws: tuple[int, ...]
    """Samples that an epoch draws from each task."""
    seed: int

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Return the samples of epoch ``number`` (from 0), task by task; a sample that is drawn twice occurs twice."""
        drawn = [self._drawn(task, number * count, count) for task, count in enumerate(self.draws)]
        return np.concatenate(drawn)

    def _drawn(self, task: int, start: int, count: int) -> NDArray[np.int64]:
        """Return samples ``start`` to ``start + count`` of a task's stream."""
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
        """The samples of each task."""
        return [np.flatnonzero(self.task == task) for task in range(len(self.draws))]


def mixture(mixing: MixingSpec, tasks: list[TaskSpec], samples: Samples, seed: int) -> Mixture:
    """Return the epochs that ``mixing`` makes of the training samples; every task has at least one."""
    counts = np.bincount(samples.task, minlength=len(tasks)).astype(np.float64)
    tokens = np.bincount(samples.task, samples.loss_tokens, len(tasks))
    sizes = counts if mixing.by == "samples" else tokens
    if mixing.proportions is not None:
        parts = np.array([mixing.proportions[task.name] for task in tasks])
    else:
        assert mixing.temperature is not None, "the spec has one of the two"
        powers = np.log(sizes) / mixing.temperature
        parts = np.maximum(np.exp(powers - powers.max()), _LEAST)
    if mixing.by == "tokens":  # as many samples as hold that many tokens on average
        parts = parts * counts / tokens
    return Mixture(samples.task, apportion(parts, mixing.epoch_samples or len(samples)), seed)


def apportion(parts: NDArray[np.float64], total: int) -> tuple[int, ...]:
    """Return integers that sum to ``total``, in proportion to ``parts``, by largest remainders.

    A part that is not 0 gets at least 1.

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
