"""One optimizer step, exact over the global batch (design, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mftkit.training.gradients import Gradients
from mftkit.training.nonfinite import NonFiniteGuard

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mftkit.batches.batcher import Batcher
    from mftkit.batches.sampler import GlobalBatch
    from mftkit.data.corpus import Samples
    from mftkit.interfaces.tokenization import Batch, TokenizationMode
    from mftkit.training.balancing import Balancing
    from mftkit.training.meter import Meter
    from mftkit.training.objective import Counts, Objective


@dataclass(frozen=True)
class StepResult:
    """What a step gave, on the device."""

    objective: Tensor
    """Scalar: sum over tasks of weight * share * loss, over the global batch."""
    task_losses: Tensor
    """[tasks] float64, NaN where absent."""
    weights: Tensor
    """[tasks], their mean over all tasks is 1."""
    grad_norm: Tensor
    auxiliary: Tensor | None
    again: Tensor | None
    """``task_losses`` of the same batch after the update, where the balancer compares them."""


class TrainStep:
    """Forward, backward and update of one global batch.

    The loss is a function of sums over the global batch, so its gradient is the sum over micro-batches of
    (slope at the global sums) times the gradient of the micro-batch's statistics. A linear loss has a
    constant slope, known before the first forward pass; any other needs the sums first, and so does a
    balancer that weighs by the step's own losses: its own where there is one micro-batch, else a first pass
    without gradients.
    """

    def __init__(
        self,
        scorer: nn.Module,
        samples: Samples,
        mode: TokenizationMode,
        objective: Objective,
        balancing: Balancing,
        optimizer: torch.optim.Optimizer,
        passes: Batcher,
        max_grad_norm: float | None,
        gradients: Gradients | None = None,
    ) -> None:
        """``gradients`` None: they are summed, without a gradient of each task."""
        self._scorer = scorer
        self._samples = samples
        self._mode = mode
        self._objective = objective
        self._balancing = balancing
        self._optimizer = optimizer
        self._passes = passes
        self._processes = passes.processes
        self._gradients = gradients or Gradients(scorer, passes.processes)
        self._max_grad_norm = max_grad_norm
        self._trained = [p for p in scorer.parameters() if p.requires_grad]
        self.watch = NonFiniteGuard()

    def __call__(self, step: GlobalBatch, learning_rate: float, meter: Meter) -> StepResult:
        """Train one step."""
        rows = step.passes(self._passes.rows, self._processes.rank, self._processes.count)
        batches = [self._passes.batch(self._samples, each, self._mode.collate) for each in rows]
        counts = self._objective.counts(step.tokens, step.samples)
        weights, slopes, states = self._before(step.number, batches, counts)
        drawn = list(states)
        totals = self._objective.zeros()
        auxiliary: Tensor | None = None
        self._gradients.begin(rows)
        for i, batch in enumerate(batches):
            if states:
                set_dropout_state(states[i], self._processes.device)
            elif self._balancing.repeats_step:
                drawn.append(dropout_state(self._processes.device))
            with self._gradients.gathering(i):
                logprobs, extra = self._scorer(batch)
                statistics = self._objective.statistics(logprobs, batch)
                if slopes is None or weights is None:  # the only micro-batch: its sums are the step's
                    weights, slopes = self._weigh(
                        step.number, self._processes.sum(statistics.detach()), counts
                    )
                loss = (slopes * statistics).sum()
                if extra is not None:
                    # A product of means cannot be exact over the split: token-weighted over micro-batches.
                    share = len(batch.targets) / max(1.0, float(step.tokens.sum()))
                    loss = loss + extra * share
                    auxiliary = extra.detach() * share + (0 if auxiliary is None else auxiliary)
                self._gradients.backward(loss)
            totals += statistics.detach()
            meter.add_pass(logprobs, batch)
            self.watch.add_pass(step.number, logprobs, batch)
        assert weights is not None, "a step has a micro-batch"
        self._gradients.finish(weights, counts)
        objective, task_losses = self._objective.value(self._processes.sum(totals), counts, weights)
        if auxiliary is not None:
            objective = objective + self._processes.sum(auxiliary)
        grad_norm = self._update(step.number, learning_rate, objective, task_losses)
        meter.add_step(step, objective)
        again = self._again(batches, drawn, counts) if self._balancing.repeats_step else None
        return StepResult(objective, task_losses, weights, grad_norm, auxiliary, again)

    def _before(
        self, number: int, batches: list[Batch], counts: Counts
    ) -> tuple[Tensor | None, Tensor | None, list[Any]]:
        """Weights [tasks] and slopes [tasks, k] where they can be had before the backward passes, and random
        states to rewind to.
        """
        if self._objective.linear and not self._balancing.prepares:
            return *self._weigh(number, None, counts), []
        if len(batches) == 1:
            return None, None, []
        totals, states = self._objective.zeros(), []
        with torch.no_grad():
            for batch in batches:
                states.append(dropout_state(self._processes.device))
                totals += self._statistics(batch)
        return *self._weigh(number, self._processes.sum(totals), counts), states

    def _weigh(self, number: int, totals: Tensor | None, counts: Counts) -> tuple[Tensor, Tensor]:
        """Weights [tasks] and slopes [tasks, k], at the global sums ``totals`` where they are known."""
        losses = None if totals is None else self._objective.task_losses(totals, counts)
        weights = self._balancing.weights(number, losses)
        weights = weights.to(self._processes.device, self._objective.dtype, non_blocking=True)
        return weights, self._objective.coefficients(totals, counts, weights)

    @torch.no_grad()
    def _again(self, batches: list[Batch], states: list[Any], counts: Counts) -> Tensor:
        """The task losses [tasks] by the new parameters, with the same dropout masks.

        The random state afterwards is that of before: the same numbers were drawn again.
        """
        totals = self._objective.zeros()
        for batch, state in zip(batches, states, strict=True):
            set_dropout_state(state, self._processes.device)
            totals += self._statistics(batch)
        return self._objective.task_losses(self._processes.sum(totals), counts)

    def _statistics(self, batch: Batch) -> Tensor:
        logprobs, _ = self._scorer(batch)
        return self._objective.statistics(logprobs, batch)

    def _update(self, number: int, learning_rate: float, objective: Tensor, task_losses: Tensor) -> Tensor:
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._max_grad_norm or float("inf"))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        # Read by the fused kernel: 1 leaves this update out.
        self._optimizer.found_inf = self.watch.add_step(number, objective, task_losses, norm)  # type: ignore[attr-defined]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm


def dropout_state(device: torch.device) -> list[Tensor]:
    """The random states that dropout draws from."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def set_dropout_state(states: list[Tensor], device: torch.device) -> None:
    """Rewind to what ``dropout_state`` gave: a second pass draws the same masks."""
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)
