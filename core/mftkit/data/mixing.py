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

from mftkit.plugins import installed, kinds
from mftkit.plugins.ownership import plugin_suffix
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.data.samples import Samples
    from mftkit.interfaces.component import TaskInfo
    from mftkit.interfaces.mixer import Mixer
    from mftkit.spec import MixingSpec

_STREAM = 0x6D6978
"""Last part of the seeds of streams, so that nothing else has the same seed."""
_BLOCK = 4096
"""Samples of a stream that are drawn at once, or one pass if that is more."""


@dataclass(frozen=True)
class Mixture:
    """The epochs of a run that mixes its tasks."""

    task: NDArray[np.int64]
    """[n]: task of each training sample."""
    draws: tuple[int, ...]
    """Samples that an epoch draws from each task."""
    seed: int
    mixer: Mixer | None = None
    """What decided the draws; None in an epoch of fixed draws."""

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Return the samples of epoch ``number`` (from 0), task by task; a sample that is drawn twice occurs twice."""
        return self.take([number * count for count in self.draws], self.draws)

    def take(self, starts: Sequence[int], counts: Sequence[int]) -> NDArray[np.int64]:
        """Return the next ``counts`` samples of the streams from ``starts`` (both [tasks]), task by task."""
        pairs = enumerate(zip(starts, counts, strict=True))
        return np.concatenate([self._drawn(task, start, count) for task, (start, count) in pairs])

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


def mixture(mixing: MixingSpec, tasks: Sequence[TaskInfo], samples: Samples, seed: int) -> Mixture:
    """Return the epochs that ``mixing`` makes of the training samples; every task has at least one.

    Args:
        mixing: the spec's section.
        tasks: with the samples and loss tokens of all training data.
        samples: all training samples.
        seed: of the run.

    Raises:
        MftError: the mixer does not fit the tasks, or its shares are unusable.
    """
    ref = mixing.component
    mixer: Mixer = installed.build(kinds.MIXER, ref.name, ref.options, tuple(tasks))
    draws = apportion(shares_of(mixer, len(tasks)), mixing.epoch_samples or len(samples))
    return Mixture(samples.task, draws, seed, mixer)


def shares_of(mixer: Mixer, num_tasks: int) -> NDArray[np.float64]:
    """A mixer's shares [tasks], checked.

    Raises:
        MftError: ``shares()`` did not return a usable number per task.
    """
    given = mixer.shares()
    try:
        shares = np.asarray([float(share) for share in given], np.float64)
        fine = len(shares) == num_tasks and np.isfinite(shares).all() and (shares >= 0).all() and shares.any()
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise MftError(
            f"mixing.mixer: {type(mixer).__module__}.{type(mixer).__name__}.shares() must return {num_tasks} numbers, "
            f"one per task, finite, not negative and not all 0, but returned {given!r}. "
            f"Fix the plugin{plugin_suffix(mixer)}."
        )
    return shares


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
