"""The task weights w and the slopes dF/ds of one step, which decide what each micro-batch back-propagates.

With s the sum of all micro-batches' statistics [tasks, k], the step's objective is F(s) = sum over tasks of
w_i * share_i * L_i(s). Its gradient is the sum over micro-batches of (dF/ds at the global s) times the gradient of that
micro-batch's statistics, so each micro-batch back-propagates ``(dF/ds * its statistics).sum()``. When w and dF/ds
become known depends on the loss and on the balancer:

1. *Before any forward pass*, if the loss is linear in s (its slopes are constants) and the balancer does not need the
   step's own losses.
2. *By a first pass*, if not, and the step has several micro-batches: a forward pass over each without gradients gives
   s. The random state is then rewound, so that dropout draws the same masks in the second pass.
3. *From the only micro-batch*, if the step has one: its sums are the step's, and no second pass is needed.

In the first case, if the statistics are linear in the log-probabilities, the gradient at each of them is known before
the forward pass, too; in the second case it is for any loss, at the log-probabilities of the first pass. The head's
gradients are then formed in the forward pass (``Coefficients.factors``). Statistics are computed once: those of the
first pass, whose dropout the second one repeats, are the step's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from mftkit.interfaces.tokenization import Batch
    from mftkit.processes import Processes
    from mftkit.training.balancing import Balancing
    from mftkit.training.objective import BatchCounts, Objective, StatisticsAt


@dataclass(frozen=True)
class DropoutState:
    """The state of the random number generators from which dropout draws."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def capture(cls, device: torch.device) -> DropoutState:
        """The present state."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda)

    def restore(self, device: torch.device) -> None:
        """Rewind to this state: another forward pass over the same micro-batch draws the same masks."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, device)


class Coefficients:
    """Weights and slopes of one step. Its constructor makes the first pass, if the step needs one."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        balancing: Balancing,
        processes: Processes,
        step: int,
        micro_batches: Sequence[Batch],
        counts: BatchCounts,
    ) -> None:
        self._model = model
        self._objective = objective
        self._balancing = balancing
        self._processes = processes
        self._step = step
        self._micro_batches = micro_batches
        self._counts = counts
        self._weights: Tensor | None = None
        self._slopes: Tensor | None = None
        self._first_statistics: list[StatisticsAt] = []
        """Of each micro-batch in the first pass, if there was one."""
        self._dropout: list[DropoutState] = []
        """The state at the start of each forward pass, in the order of the micro-batches."""
        if objective.linear and not balancing.needs_step_losses:
            self._slopes = self._slopes_at(None)
        elif len(micro_batches) > 1:
            self._slopes = self._slopes_at(self._first_pass())
        self._had_first_pass = bool(self._dropout)

    @property
    def weights(self) -> Tensor:
        """[tasks]: the balancer's weights in this step.

        Their mean over all tasks is 1 before the weights of stopped tasks become 0.
        """
        assert self._weights is not None, "weights are known after the first micro-batch"
        return self._weights

    def begin_forward(self, number: int) -> None:
        """Give forward pass ``number`` the dropout masks of the first pass, or note which ones it draws."""
        if self._had_first_pass:
            self._dropout[number].restore(self._processes.device)
        elif self._balancing.needs_losses_after_update:
            self._dropout.append(DropoutState.capture(self._processes.device))

    def factors(self, number: int) -> Tensor | None:
        """The surrogate's gradient [V] at the log-probabilities of micro-batch ``number``; to be read once.

        None if it is not known before the micro-batch's forward pass.
        """
        if self._slopes is None:
            return None
        if self._had_first_pass:
            return self._first_statistics[number].factors(self._slopes)
        if self._objective.loss.linear_in_logprobs:
            return self._objective.factors(self._micro_batches[number], self._slopes)
        return None

    def statistics(self, number: int, logprobs: Tensor) -> Tensor:
        """The statistics [tasks, k] of micro-batch ``number`` at ``logprobs`` [V], or from its first pass."""
        if self._had_first_pass:
            return self._first_statistics[number].values
        return self._objective.statistics(logprobs, self._micro_batches[number])

    def surrogate(self, statistics: Tensor) -> Tensor:
        """The scalar that a micro-batch with these statistics [tasks, k] back-propagates.

        Only its gradient has a meaning; the value of the step's objective is ``Objective.value``.
        """
        if self._slopes is None:  # the only micro-batch: its sums are the step's
            self._slopes = self._slopes_at(self._processes.sum(statistics.detach()))
        return (self._slopes * statistics).sum()

    @torch.no_grad()
    def losses_after_update(self) -> Tensor | None:
        """The task losses [tasks] of the same batch by the new parameters; None if the balancer has no use for them.

        Dropout draws the same masks as before the update, so the random state ends as it was.
        """
        if not self._balancing.needs_losses_after_update:
            return None
        totals = self._objective.zeros()
        for micro_batch, state in zip(self._micro_batches, self._dropout, strict=True):
            state.restore(self._processes.device)
            totals += self._statistics(micro_batch)
        return self._objective.task_losses(self._processes.sum(totals), self._counts)

    @torch.no_grad()
    def _first_pass(self) -> Tensor:
        """The sums [tasks, k] over all micro-batches and processes."""
        totals = self._objective.zeros()
        for micro_batch in self._micro_batches:
            self._dropout.append(DropoutState.capture(self._processes.device))
            logprobs, _ = self._model(micro_batch)
            statistics = self._objective.statistics_at(logprobs, micro_batch)
            self._first_statistics.append(statistics)
            totals += statistics.values
        return self._processes.sum(totals)

    def _statistics(self, micro_batch: Batch) -> Tensor:
        logprobs, _ = self._model(micro_batch)
        return self._objective.statistics(logprobs, micro_batch)

    def _slopes_at(self, totals: Tensor | None) -> Tensor:
        """Ask the balancer for the weights, and return the slopes [tasks, k] at the global sums, if known."""
        losses = None if totals is None else self._objective.task_losses(totals, self._counts)
        weights = self._balancing.weights(self._step, losses)
        self._weights = weights.to(self._processes.device, self._objective.dtype, non_blocking=True)
        return self._objective.slopes(totals, self._counts, self._weights)
