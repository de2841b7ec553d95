"""Which samples a batch holds."""

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
    """Batches of two halves, which share no sample; each holds ``samples`` training samples of each task.

    A task's samples are gone through in random order, and in another one once they are used up; a task
    that has fewer than twice ``samples`` gives half of its own to each half.
    """

    def __init__(self, corpus: Corpus, batches: int, samples: int, seed: int, reporter: Reporter) -> None:
        """Raises MftError for a task that has no two training samples."""
        self._of_task = []
        again = []
        for task, info in enumerate(corpus.tasks):
            members = np.flatnonzero(corpus.train.task == task)
            if len(members) < 2:
                raise MftError(
                    f"tasks: {info.name} has {len(members)} training samples, and two are needed to tell a task's "
                    "gradient from chance; give it more, or take it out of the spec."
                )
            each = min(samples, len(members) // 2)
            drawn = np.random.default_rng([seed, task])
            self._of_task.append(_batches(members, 2 * each, batches, drawn))
            if each < samples or 2 * each * batches > len(members):
                again.append(f"{info.name} ({len(members)} samples)")
        if again:
            reporter.warn(
                f"batches share samples, so that intervals are too narrow, in {', '.join(again)}: lower --batches or "
                "--samples"
            )

    def half(self, batch: int, second: bool) -> Ints:
        """Samples of all tasks."""
        parts = [batches[batch].reshape(2, -1)[int(second)] for batches in self._of_task]
        return np.concatenate(parts)


def _batches(members: Ints, size: int, count: int, drawn: np.random.Generator) -> Ints:
    """[count, size]: no batch holds a sample twice."""
    whole = len(members) // size
    rounds = -(-count // whole)
    every = [drawn.permutation(members)[: whole * size].reshape(whole, size) for _ in range(rounds)]
    return np.concatenate(every)[:count]


def step_of(number: int, members: Ints, samples: Samples, tasks: int) -> GlobalBatch:
    """A step over these samples, one a row, that trains each task in forward passes of its own."""
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
