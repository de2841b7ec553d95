"""The interface of a loss: additive statistics of a micro-batch, and task losses of their sums.

A loss in this form is exact over the global batch, whatever its split into micro-batches and
processes: with s the sum of all statistics and L = f(s, counts), the gradient is the sum over
micro-batches of (df/ds at the global s) times the gradient of that micro-batch's statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required
from mftkit.interfaces.deprecation import RenamedAttribute, renamed_fields, warn_renamed

if TYPE_CHECKING:
    from torch import Tensor


class _SampleWeight:
    """The field ``Tokens.sample_weight``: may be given as None, and then reads as ones, made at each access."""

    def __get__(self, instance: Tokens | None, owner: type) -> Tensor:
        if instance is None:  # the default, asked for by ``dataclass``
            return None  # type: ignore[return-value]
        weights: Tensor | None = vars(instance)["sample_weight"]
        if weights is None:
            return instance.logprobs.new_ones(instance.num_samples)
        return weights.to(instance.logprobs.dtype)  # which ``dataclasses.replace`` may have changed

    def __set__(self, instance: Tokens, value: Tensor | None) -> None:
        vars(instance)["sample_weight"] = value


@documented
@renamed_fields(row_weight="sample_weight")  # as a keyword; reading it is the property below
@dataclass(frozen=True)
class Tokens:
    """The V loss tokens of one micro-batch (tokens that count in the loss), in S samples with at least one each."""

    logprobs: Tensor
    """[V] float32 (float64 if the model is), nats: log p of each token, with gradient in training."""
    task: Tensor
    """[V] int64: each token's task."""
    sample: Tensor
    """[V] int64 in 0..S-1: each token's sample."""
    sample_task: Tensor
    """[S] int64: each sample's task."""
    num_tasks: int
    num_samples: int
    sample_weight: _SampleWeight = _SampleWeight()
    """[S], as ``logprobs``: the factor of each sample's tokens, given by its data row; ones where it is left out."""

    @property
    def weighted(self) -> bool:
        """False if all weights are known to be 1, so that multiplying by them can be skipped."""
        return vars(self)["sample_weight"] is not None

    @property
    def row_weight(self) -> Tensor | None:
        """The old name of ``sample_weight``; None if all weights are known to be 1."""
        warn_renamed(
            "Tokens.row_weight", "Tokens.sample_weight (ones if there are no weights; see Tokens.weighted)"
        )
        return self.sample_weight if self.weighted else None

    @property
    def weight(self) -> Tensor:
        """[V]: each token's weight, that of its sample; computed at each access."""
        return self.sample_weight[self.sample]


@documented
@renamed_fields(counted="tasks_in_mean")
@dataclass(frozen=True)
class Totals:
    """Sums over the global batch: all processes, all accumulated micro-batches."""

    statistics: Tensor
    """[tasks, k] float64 (float32 where the device has none)."""
    tokens: Tensor
    """[tasks], same dtype: loss tokens of each task."""
    samples: Tensor
    """[tasks], same dtype: samples of each task."""
    tasks_in_mean: Tensor
    """[tasks] bool: the tasks over which the mean is taken (``training.task_mean``): those present, or all."""


@documented
class Loss(Component[OptionsT]):
    """A loss in terms of additive statistics, k per task."""

    linear: ClassVar[bool] = False
    """True: ``task_losses`` is linear in the statistics. Checked numerically at start."""
    linear_in_logprobs: ClassVar[bool] = False
    """True: ``statistics`` is linear in ``logprobs``. Checked numerically at start.
    The gradients of a trained output head are then formed in the forward pass, where the slopes are known before it,
    so that no logits are computed twice."""
    reads_sample_weights: ClassVar[bool] = False
    """True: ``statistics`` multiplies each token's or sample's term by ``tokens.weight`` or
    ``tokens.sample_weight``; counts stay counts. Checked numerically at start. Data with weights other than 1 is
    rejected for a loss without it."""
    pooled: ClassVar[bool] = False
    """True: with equal weights the objective is the mean of -lp over the loss tokens of all tasks, whatever
    its options: plain cross-entropy, which ``mft compare`` uses for its baseline. Checked numerically at start."""

    reads_row_weights = RenamedAttribute("reads_sample_weights")

    @required
    def statistics(self, tokens: Tokens) -> Tensor:
        """Statistics of one micro-batch, [tasks, k]; they are added over micro-batches and processes.

        Not called for a micro-batch without loss tokens.
        """
        raise NotImplementedError

    @required
    def task_losses(self, totals: Totals) -> Tensor:
        """One loss per task, [tasks], from the global batch's sums; differentiated at the totals.

        Values and gradients of absent tasks are discarded.
        """
        raise NotImplementedError

    def task_shares(self, totals: Totals) -> Tensor:
        """Constants [tasks] that sum to 1 and depend on counts only; equal over ``tasks_in_mean`` by default."""
        in_mean = totals.tasks_in_mean.to(totals.tokens.dtype)
        return in_mean / in_mean.sum()
