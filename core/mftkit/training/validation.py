"""Validation: exact token means per task, samples isolated, whatever the number of processes."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from mftkit.batches.collate import collate
from mftkit.models.eval_contexts import evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from mftkit.batches.batcher import Batcher
    from mftkit.data.corpus import Samples
    from mftkit.interfaces.tokenization import Batch
    from mftkit.training.logprob_model import LogprobModel
    from mftkit.training.objective import Objective


class Validator:
    """Runs the validation samples of all tasks through the model."""

    def __init__(self, samples: Samples, num_tasks: int, passes: Batcher, dtype: torch.dtype) -> None:
        self.samples = samples
        self._num_tasks = num_tasks
        self._passes = passes
        self._dtype = dtype

    def losses(self, scorer: LogprobModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum of -log p (nats) and counting tokens of each task, over the whole validation set."""
        processes = self._passes.processes
        nll = torch.zeros(self._num_tasks, device=processes.device, dtype=self._dtype)
        with _evaluating(scorer):
            for batch in self._batches(np.arange(len(self.samples))):
                logprobs, _ = scorer(batch)
                nll.index_add_(0, batch.task, -logprobs.to(self._dtype))
        tokens = np.bincount(self.samples.task, self.samples.loss_tokens, self._num_tasks).astype(np.float64)
        return processes.sum(nll).cpu().double().numpy(), tokens

    def minibatch(self, scorer: LogprobModel, objective: Objective, turn: int, per_task: int) -> Tensor:
        """Losses [tasks], by the run's loss, of the ``turn``-th mini-batch; NaN for a task without samples."""
        members = self._members(turn, per_task)
        task = self.samples.task[members]
        counts = objective.counts(
            np.bincount(task, weights=self.samples.loss_tokens[members], minlength=self._num_tasks),
            np.bincount(task, minlength=self._num_tasks),
        )
        totals = objective.zeros()
        with _evaluating(scorer):
            for batch in self._batches(members):
                logprobs, _ = scorer(batch)
                totals += objective.statistics(logprobs, batch)
        return objective.task_losses(self._passes.processes.sum(totals), counts)

    @cached_property
    def _of_task(self) -> list[NDArray[np.int64]]:
        """Each task's samples."""
        return [np.flatnonzero(self.samples.task == task) for task in range(self._num_tasks)]

    def _members(self, turn: int, per_task: int) -> NDArray[np.int64]:
        """``per_task`` samples of each task, going round each task's samples turn by turn."""
        numbers = turn * per_task + np.arange(per_task)
        chosen = [each[numbers[: len(each)] % len(each)] for each in self._of_task if len(each)]
        return np.concatenate(chosen)

    def _batches(self, members: NDArray[np.int64]) -> Iterator[Batch]:
        """Rows of one sample, of similar length, as many as the memory of a training pass holds.

        Every process gets equally many, idle ones where needed.
        """
        processes = self._passes.processes
        order = members[np.argsort(-self.samples.lengths[members], kind="stable")]
        groups = self._groups(order)
        for first in range(processes.rank, _up_to_multiple(len(groups), processes.count), processes.count):
            rows = [[int(i)] for i in groups[first]] if first < len(groups) else []
            yield self._passes.batch(self.samples, rows, collate)

    def _groups(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        positions = self._passes.rows * self._passes.max_length
        groups = []
        while len(order):
            fit = max(1, positions // int(self.samples.lengths[order[0]]))
            groups.append(order[:fit])
            order = order[fit:]
        return groups


def _up_to_multiple(number: int, of: int) -> int:
    return -(-number // of) * of


@contextmanager
def _evaluating(scorer: LogprobModel) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode again afterwards."""
    with evaluation(scorer), torch.no_grad():
        yield
