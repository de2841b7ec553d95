"""The step's objective over the global batch, and its slopes with respect to the loss's additive statistics.

With s the sum of all micro-batches' statistics [tasks, k], the objective is F(s) = sum over tasks of
w_i * share_i * L_i(s). Its gradient is the sum over micro-batches of (dF/ds at the global s) times the
gradient of that micro-batch's statistics: exact, whatever the split into micro-batches and processes.
``mftkit.training.coefficients`` says when a step knows dF/ds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from mftkit.interfaces.loss import Tokens, Totals
from mftkit.plugins.ownership import plugin_suffix
from mftkit.training.loss_checks import check_small_counts, random_tokens
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from mftkit.interfaces.loss import Loss
    from mftkit.interfaces.tokenization import Batch

    Numbers = Sequence[float] | NDArray[np.int64] | NDArray[np.float64]

TaskMean = Literal["present", "all", "dataset"]


@dataclass(frozen=True)
class BatchCounts:
    """Counts of the global batch (all processes, all micro-batches), known before any forward pass."""

    tokens: Tensor
    """[tasks]: loss tokens of each task."""
    samples: Tensor
    """[tasks]: samples of each task."""

    @cached_property
    def present(self) -> Tensor:
        """[tasks] bool: which tasks have a loss token in the batch."""
        return self.tokens > 0


@dataclass(frozen=True)
class StatisticsAt:
    """Statistics of one micro-batch at given log-probabilities, and the graph between them."""

    logprobs: Tensor
    """[V], a leaf of the graph."""
    values: Tensor
    """[tasks, k]."""

    def factors(self, slopes: Tensor) -> Tensor:
        """The gradient [V] of ``(slopes * statistics).sum()``; frees the graph, so it can be read once."""
        (factors,) = torch.autograd.grad(self.values, self.logprobs, slopes)
        return factors


class Objective:
    """A loss, the meaning of its mean over tasks, and the arithmetic of a step. No method waits for the device."""

    def __init__(
        self,
        loss: Loss,
        num_tasks: int,
        task_mean: TaskMean = "present",
        *,
        device: torch.device | str = "cpu",
        steps_per_epoch: float | None = None,
    ) -> None:
        """The objective of a run.

        Args:
            loss: the run's loss.
            num_tasks: of the run.
            task_mean: which tasks the mean counts (``training.task_mean``).
            device: where sums are kept.
            steps_per_epoch: needed if ``task_mean`` is "dataset", unused otherwise.

        Raises:
            MftError: ``task_mean`` is "dataset", and the loss is not linear, or a task's counts per step fall below 1
                and the loss does not divide by counts that small.
        """
        if task_mean == "dataset" and not loss.linear:
            raise MftError(
                f'training.task_mean: "dataset" needs a loss that is linear in its statistics, and '
                f'{type(loss).__name__} is not. Set "present" or "all", or choose another loss.'
            )
        self.loss = loss
        self.num_tasks = num_tasks
        self.task_mean: TaskMean = task_mean
        self.device = torch.device(device)
        self.dtype = accumulation_dtype(self.device)
        self._width = loss.statistics(random_tokens(num_tasks)).shape[1]
        self._dataset_counts = self._counts_per_step(steps_per_epoch) if task_mean == "dataset" else None

    @property
    def linear(self) -> bool:
        """Whether the slopes are constants, known before any forward pass."""
        return self.loss.linear

    def counts(self, tokens: Numbers, samples: Numbers) -> BatchCounts:
        """The counts [tasks] of a global batch, on the device."""
        return BatchCounts(self._on_device(tokens), self._on_device(samples))

    def zeros(self) -> Tensor:
        """Statistics [tasks, k] of nothing, to add to."""
        return torch.zeros(self.num_tasks, self._width, dtype=self.dtype, device=self.device)

    def statistics(self, logprobs: Tensor, batch: Batch) -> Tensor:
        """Statistics [tasks, k] of one micro-batch, in the graph of ``logprobs`` [V]: also with V = 0."""
        if len(logprobs) == 0:
            return self.zeros() + logprobs.sum()
        tokens = Tokens(
            logprobs=logprobs,
            task=batch.task,
            sample=batch.sample,
            sample_task=batch.sample_task,
            num_tasks=self.num_tasks,
            num_samples=len(batch.sample_task),
            sample_weight=None if batch.sample_weight is None else batch.sample_weight.to(logprobs.dtype),
        )
        found = self.loss.statistics(tokens)
        if found.shape != (self.num_tasks, self._width):
            raise MftError(
                f"loss: {type(self.loss).__name__}.statistics are of shape {tuple(found.shape)}, "
                f"but [tasks, k] is {(self.num_tasks, self._width)}. Fix the plugin{plugin_suffix(self.loss)}."
            )
        return found.to(self.dtype)

    @torch.enable_grad()
    def statistics_at(self, logprobs: Tensor, batch: Batch) -> StatisticsAt:
        """The same statistics in a graph that begins at ``logprobs`` [V], whatever their own graph."""
        leaf = logprobs.detach().requires_grad_()
        return StatisticsAt(leaf, self.statistics(leaf, batch))

    def factors(self, batch: Batch, slopes: Tensor) -> Tensor:
        """The gradient [V] of ``(slopes * statistics).sum()`` for statistics that are linear in log-probabilities."""
        anywhere = torch.full(batch.task.shape, -1.0, dtype=self.dtype, device=self.device)
        return self.statistics_at(anywhere, batch).factors(slopes)

    def slopes(self, totals: Tensor | None, counts: BatchCounts, weights: Tensor) -> Tensor:
        """The objective's slopes dF/ds [tasks, k] at the global sums ``totals``; None is enough for a linear loss.

        Each micro-batch back-propagates ``(slopes * statistics).sum()``. Slopes of absent tasks are 0.
        """
        if totals is None:
            if not self.linear:
                raise ValueError("the slopes of a loss that is not linear depend on the totals")
            totals = torch.ones_like(self.zeros())
        with torch.enable_grad():
            at = totals.detach().to(self.dtype).requires_grad_()
            (slope,) = torch.autograd.grad(self._scalar(at, counts, weights), at)
        # An absent task's slope may be infinite at 0, and 0 * inf is NaN: masking the value alone does not help.
        return torch.where(counts.present.unsqueeze(1), slope, 0.0)

    @torch.no_grad()
    def value(self, totals: Tensor, counts: BatchCounts, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The objective (a scalar), and the task losses of ``task_losses``, at the global sums ``totals``."""
        return self._scalar(totals, counts, weights), self.task_losses(totals, counts)

    @torch.no_grad()
    def task_losses(self, totals: Tensor, counts: BatchCounts) -> Tensor:
        """Each task's loss [tasks] by the batch's own counts, whatever ``task_mean``; NaN where absent."""
        own = Totals(totals, counts.tokens, counts.samples, tasks_in_mean=counts.present)
        losses = self.loss.task_losses(own).to(self.dtype)
        return torch.where(counts.present, losses, torch.nan)

    def _counts_per_step(self, steps_per_epoch: float | None) -> BatchCounts:
        """The training set's counts per epoch, divided by the steps per epoch."""
        if steps_per_epoch is None:
            raise ValueError('task_mean "dataset" needs steps_per_epoch')
        tokens = [task.tokens / steps_per_epoch for task in self.loss.tasks]
        samples = [task.samples / steps_per_epoch for task in self.loss.tasks]
        check_small_counts(self.loss, tokens, samples)
        return self.counts(tokens, samples)

    def _scalar(self, statistics: Tensor, counts: BatchCounts, weights: Tensor) -> Tensor:
        totals = self._totals(statistics, counts)
        losses = torch.where(counts.present, self.loss.task_losses(totals).to(self.dtype), 0.0)
        shares = torch.where(totals.tasks_in_mean, self.loss.task_shares(totals).detach().to(self.dtype), 0.0)
        return (weights.to(losses) * shares * losses).sum()

    def _totals(self, statistics: Tensor, counts: BatchCounts) -> Totals:
        in_mean = counts.present if self.task_mean == "present" else torch.ones_like(counts.present)
        if self._dataset_counts is not None:
            counts = self._dataset_counts
        return Totals(statistics, counts.tokens, counts.samples, in_mean)

    def _on_device(self, numbers: Numbers) -> Tensor:
        return torch.tensor(np.asarray(numbers), dtype=self.dtype).to(self.device, non_blocking=True)


def accumulation_dtype(device: torch.device) -> torch.dtype:
    """The dtype of sums over tokens and of numbers per task: float64, or float32 if the device has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def normalize(weights: Tensor, balancer: object = None) -> Tensor:
    """A balancer's weights [tasks] divided by their mean over all tasks, in float64, on the same device.

    Raises MftError, which names the package of ``balancer``, for weights that are not finite, are negative, or are all
    zero. Weights on a device other than the CPU are not inspected, which would make the host wait: there, invalid ones
    become NaN, and the step is refused.
    """
    exact = weights.detach().to(accumulation_dtype(weights.device))
    if exact.device.type != "cpu":
        exact = torch.where(exact >= 0, exact, torch.nan)
        return exact / exact.mean()
    if not bool(torch.isfinite(exact).all()) or bool((exact < 0).any()):
        raise MftError(
            f"balancer: weights must be one finite, non-negative number per task; got {exact.tolist()}. If losses are "
            f"diverging, lower the learning rate; otherwise fix the balancer's plugin{plugin_suffix(balancer)}."
        )
    mean = exact.mean()
    if not bool(mean > 0):
        raise MftError(
            "balancer: the weights of all tasks are 0, so nothing would be trained. Raise one of them."
        )
    return exact / mean
