"""Chooses the samples of each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.batches.sampler import GlobalBatch
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.data.corpus import Corpus, Samples
    from mftkit.reporting.reporter import Reporter

    Ints = np.typing.NDArray[np.int64]


class Halves:
    """Batches of two halves that share no sample; each holds ``samples`` training samples of each task.

    A task's samples are used in random order, and in another order once they are used up; a task with fewer than twice
    ``samples`` gives half of its samples to each half.
    """

    def __init__(self, corpus: Corpus, batches: int, samples: int, seed: int, reporter: Reporter) -> None:
        """Raises MftError for a task with fewer than two training samples."""
        self._of_task = []
        repeated = []
        for task, info in enumerate(corpus.tasks):
            members = np.flatnonzero(corpus.train.task == task)
            if len(members) < 2:
                raise MftError(
                    f"tasks: {info.name} has {len(members)} training samples, but at least two are needed to estimate "
                    "the noise of a gradient; give it more data, or remove it from the spec."
                )
            each = min(samples, len(members) // 2)
            random = np.random.default_rng([seed, task])
            self._of_task.append(_batches(members, 2 * each, batches, random))
            if each < samples or 2 * each * batches > len(members):
                repeated.append(f"{info.name} ({len(members)} samples)")
        if repeated:
            reporter.warn(
                f"intervals are too narrow, since batches share samples, for {', '.join(repeated)}; lower --batches or "
                "--samples"
            )

    def half(self, batch: int, second: bool) -> Ints:
        """The samples of all tasks in a half of a batch."""
        parts = [batches[batch].reshape(2, -1)[int(second)] for batches in self._of_task]
        return np.concatenate(parts)


def _batches(members: Ints, size: int, count: int, random: np.random.Generator) -> Ints:
    """Batches [count, size], none of which holds a sample twice."""
    whole = len(members) // size
    rounds = -(-count // whole)
    every = [random.permutation(members)[: whole * size].reshape(whole, size) for _ in range(rounds)]
    return np.concatenate(every)[:count]


def step_of(number: int, members: Ints, samples: Samples, tasks: int) -> GlobalBatch:
    """A step over these samples, one per row, that trains each task in separate forward passes."""
    order = members[np.argsort(-samples.lengths[members], kind="stable")]
    task = samples.task[order]
    return GlobalBatch(
        number=number,
        epoch=0,
        ends_epoch=False,
        rows=[np.array([sample]) for sample in order],
        tokens=np.bincount(task, samples.loss_tokens[order], tasks).astype(np.float64),
        samples=np.bincount(task, None, tasks).astype(np.float64),
        row_task=np.asarray(task),
    )
