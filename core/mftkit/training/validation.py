"""Validation: exact token means per task with samples isolated, whatever the number of processes."""

from __future__ import annotations

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

    def __init__(self, samples: Samples, num_tasks: int, batcher: Batcher, dtype: torch.dtype) -> None:
        self.samples = samples
        self._num_tasks = num_tasks
        self._batcher = batcher
        self._dtype = dtype

    def losses(self, model: LogprobModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The sum of -log p (nats) and the loss tokens of each task, over the whole validation set."""
        processes = self._batcher.processes
        nll = torch.zeros(self._num_tasks, device=processes.device, dtype=self._dtype)
        with evaluation(model), torch.no_grad():
            for batch in self._batches(np.arange(len(self.samples))):
                logprobs, _ = model(batch)
                nll.index_add_(0, batch.task, -logprobs.to(self._dtype))
        tokens = np.bincount(self.samples.task, self.samples.loss_tokens, self._num_tasks).astype(np.float64)
        return processes.sum(nll).cpu().double().numpy(), tokens

    def minibatch_losses(
        self, model: LogprobModel, objective: Objective, number: int, per_task: int
    ) -> Tensor:
        """Losses [tasks], by the run's loss, of validation mini-batch ``number``; NaN for a task without samples."""
        members = self._members(number, per_task)
        task = self.samples.task[members]
        counts = objective.counts(
            np.bincount(task, weights=self.samples.loss_tokens[members], minlength=self._num_tasks),
            np.bincount(task, minlength=self._num_tasks),
        )
        totals = objective.zeros()
        with evaluation(model), torch.no_grad():
            for batch in self._batches(members):
                logprobs, _ = model(batch)
                totals += objective.statistics(logprobs, batch)
        return objective.task_losses(self._batcher.processes.sum(totals), counts)

    @cached_property
    def _samples_of_task(self) -> list[NDArray[np.int64]]:
        """Each task's samples."""
        return [np.flatnonzero(self.samples.task == task) for task in range(self._num_tasks)]

    def _members(self, number: int, per_task: int) -> NDArray[np.int64]:
        """The samples of mini-batch ``number``: the next ``per_task`` of each task, from the start again at its end."""
        numbers = number * per_task + np.arange(per_task)
        chosen = [each[numbers[: len(each)] % len(each)] for each in self._samples_of_task if len(each)]
        return np.concatenate(chosen)

    def _batches(self, members: NDArray[np.int64]) -> Iterator[Batch]:
        """Batches of rows that hold one sample each, of similar length, no larger than a micro-batch of training.

        Every process gets equally many batches; some may be idle.
        """
        processes = self._batcher.processes
        order = members[np.argsort(-self.samples.lengths[members], kind="stable")]
        groups = self._groups(order)
        for first in range(processes.rank, _up_to_multiple(len(groups), processes.count), processes.count):
            rows = [[int(i)] for i in groups[first]] if first < len(groups) else []
            yield self._batcher.batch(self.samples, rows, collate)

    def _groups(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        most_positions = self._batcher.micro_batch_size * self._batcher.max_length
        groups = []
        while len(order):
            fit = max(1, most_positions // int(self.samples.lengths[order[0]]))
            groups.append(order[:fit])
            order = order[fit:]
        return groups


def _up_to_multiple(number: int, of: int) -> int:
    return -(-number // of) * of
