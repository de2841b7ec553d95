"""Gives a balancer the losses that it asks for, when it asks for them. What it does not ask for costs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch

from mftkit.plugins.ownership import plugin_suffix
from mftkit.training.objective import normalize
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from mftkit.interfaces.balancer import Balancer


@dataclass(frozen=True)
class LossRequests:
    """Which losses a balancer asks for; the attributes of ``mftkit.Balancer``, as its instance has them now."""

    needs_validation: int
    """Steps in an interval between two validation mini-batches; 0: none is evaluated."""
    validation_samples: int
    minibatch_reuse: int
    """Intervals that share one mini-batch; 0: all of them."""
    needs_step_losses: bool
    compares: Literal["validation", "training"] | None

    @classmethod
    def of(cls, balancer: Balancer) -> LossRequests:
        """What ``balancer`` asks for. An option or a step may change it, so it is read each time."""
        return cls(
            needs_validation=balancer.needs_validation,
            validation_samples=balancer.validation_samples,
            minibatch_reuse=balancer.minibatch_reuse,
            needs_step_losses=balancer.needs_step_losses,
            compares=balancer.compares,
        )


class BalancingState(TypedDict):
    """The part of a checkpoint that belongs to the balancer."""

    balancer: dict[str, Any]
    """What the balancer's own ``state_dict`` returned."""
    held: Tensor | None
    """Losses [tasks] of the present interval's mini-batch at the interval's start."""


class Balancing:
    """A balancer within a run: decides when validation mini-batches are evaluated, and which one.

    The steps of a run form *intervals* of ``needs_validation`` steps, numbered from 0; a validation mini-batch is
    evaluated at the end of each. Validation mini-batches are numbered, too: mini-batch m is the m-th group of
    ``validation_samples`` samples of each task, and ``minibatch_reuse`` intervals in a row use the same one.

    A balancer that compares validation losses needs them of *one* mini-batch at both ends of an interval: interval k
    uses mini-batch k // minibatch_reuse. If the interval before used the same one, the losses at its end serve as
    those at the start; otherwise the new mini-batch is evaluated before the interval's first step. With
    ``needs_validation = 2`` and ``minibatch_reuse = 2``:

    ========  =====  ==========  =======================================  =================
    interval  steps  mini-batch  evaluated                                compare() gets
    ========  =====  ==========  =======================================  =================
    0         1, 2   0           before step 1, after step 2              these two
    1         3, 4   0           after step 4                             after 2, after 4
    2         5, 6   1           before step 5, after step 6              these two
    ========  =====  ==========  =======================================  =================

    A balancer that does not compare gets losses at the end of each interval only: those of mini-batch
    (k + 1) // minibatch_reuse after interval k. With ``minibatch_reuse = 0`` there is only mini-batch 0.
    """

    def __init__(
        self,
        balancer: Balancer,
        num_tasks: int,
        minibatch_losses: Callable[[int, int], Tensor],
        stopped_tasks: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        """A run's balancer.

        Args:
            balancer: what decides.
            num_tasks: of the run.
            minibatch_losses: ``minibatch_losses(number, samples)`` evaluates a validation mini-batch with ``samples``
                samples per task by the present weights, and returns losses [tasks].
            stopped_tasks: indices of the tasks that early stopping has stopped so far. Their weight is 0; the weights
                of the others stay as they are.
        """
        self.balancer = balancer
        self._num_tasks = num_tasks
        self._minibatch_losses = minibatch_losses
        self._stopped_tasks = stopped_tasks
        self._losses_at_start: Tensor | None = None
        """Losses [tasks] of the current interval's mini-batch; kept only if the balancer compares validation losses."""

    @property
    def needs_step_losses(self) -> bool:
        """Whether the balancer needs the step's own losses before it can give the step's weights."""
        return LossRequests.of(self.balancer).needs_step_losses

    @property
    def needs_losses_after_update(self) -> bool:
        """Whether the balancer needs the step's losses once more after the update."""
        return LossRequests.of(self.balancer).compares == "training"

    def before_step(self, step: int) -> None:
        """Evaluate the interval's mini-batch, if the interval begins with its own mini-batch."""
        requests = LossRequests.of(self.balancer)
        if requests.compares == "validation" and self._losses_at_start is None:
            interval = (step - 1) // requests.needs_validation
            self._losses_at_start = self._validation_losses(requests, interval)

    def weights(self, step: int, train: Tensor | None) -> Tensor:
        """The weights [tasks] of ``step``; their mean over all tasks is 1, before those of stopped tasks become 0.

        ``train`` are the step's own losses [tasks], where ``needs_step_losses``.
        """
        requests = LossRequests.of(self.balancer)
        if train is not None and requests.needs_step_losses:
            every = requests.needs_validation
            # Later in an interval, the losses at its start are not those of the present weights.
            starts_interval = bool(every) and (step - 1) % every == 0
            self.balancer.prepare(step, train, self._losses_at_start if starts_interval else None)
        weights = weights_of(self.balancer, self._num_tasks)
        for task in self._stopped_tasks():
            weights[task] = 0.0  # not a list of them: its copy to the device would make the host wait
        return weights

    def after_step(self, step: int, train: Tensor, train_after: Tensor | None) -> None:
        """Show the balancer the losses around the update of ``step``.

        Args:
            step: the step that was just made.
            train: its losses [tasks] before the update.
            train_after: the same after the update, where ``needs_losses_after_update``.
        """
        requests = LossRequests.of(self.balancer)
        before, valid = self._losses_at_start, None
        if requests.needs_validation and step % requests.needs_validation == 0:
            valid = self._end_interval(step // requests.needs_validation - 1, requests)
        self.balancer.observe(step, train, valid)
        if train_after is not None:
            self.balancer.compare(step, train, train_after)
        elif requests.compares == "validation" and valid is not None and before is not None:
            self.balancer.compare(step, before, valid)

    def metrics(self) -> dict[str, float | None]:
        """The balancer's own metrics, by name; None for a number that is not finite.

        Raises:
            MftError: ``metrics()`` did not return numbers by name.
        """
        values = self.balancer.metrics()
        try:
            numbers = {str(name): float(value) for name, value in values.items()}
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            owner = f"{type(self.balancer).__module__}.{type(self.balancer).__name__}"
            raise MftError(
                f"balancer: {owner}.metrics() must return a dict of names to numbers, but returned "
                f"{type(values).__name__} ({error}). Fix the plugin{plugin_suffix(self.balancer)}."
            ) from error
        return {name: value if math.isfinite(value) else None for name, value in numbers.items()}

    def _end_interval(self, interval: int, requests: LossRequests) -> Tensor:
        """The validation losses [tasks] at the end of an interval."""
        following = interval + 1
        if requests.compares != "validation":
            return self._validation_losses(requests, following)
        valid = self._validation_losses(requests, interval)
        same_next = _minibatch_of(following, requests) == _minibatch_of(interval, requests)
        self._losses_at_start = valid if same_next else None
        return valid

    def _validation_losses(self, requests: LossRequests, interval: int) -> Tensor:
        return self._minibatch_losses(_minibatch_of(interval, requests), requests.validation_samples)

    def state_dict(self) -> BalancingState:
        """The balancer's state, and the losses with which it will compare."""
        return {"balancer": self.balancer.state_dict(), "held": self._losses_at_start}

    def load_state_dict(self, state: BalancingState) -> None:
        """Restore what ``state_dict`` returned."""
        self.balancer.load_state_dict(state["balancer"])
        self._losses_at_start = state["held"]


def _minibatch_of(interval: int, requests: LossRequests) -> int:
    """The number of the validation mini-batch that an interval uses."""
    return interval // requests.minibatch_reuse if requests.minibatch_reuse else 0


FORWARD = 1 / 3
"""Share of a training step's arithmetic: the backward pass costs about two forward passes."""


def extra_work(balancer: Balancer, minibatch: float, step: float, *, accumulates: bool) -> float:
    """The work that a balancer's requests add, as a share of a training step's arithmetic, on average over steps.

    Args:
        balancer: what asks.
        minibatch: tokens in a validation mini-batch.
        step: tokens in a training step.
        accumulates: whether a step has several micro-batches and its loss needs no first pass over them.
    """
    requests = LossRequests.of(balancer)
    passes = int(requests.needs_step_losses and accumulates) + int(requests.compares == "training")
    if not requests.needs_validation:
        return passes * FORWARD
    evaluations = 1.0  # in each interval, at its end
    if requests.compares == "validation" and requests.minibatch_reuse:
        evaluations += 1 / requests.minibatch_reuse  # a new mini-batch is evaluated at the start, too
    return (passes + evaluations / requests.needs_validation * minibatch / step) * FORWARD


def weights_of(balancer: Balancer, num_tasks: int) -> Tensor:
    """A balancer's weights [tasks], divided by their mean over all tasks.

    Raises:
        MftError: ``weights()`` did not return a tensor of one number per task.
    """
    weights = balancer.weights()
    if not isinstance(weights, torch.Tensor) or tuple(weights.shape) != (num_tasks,):
        got = f"shape {tuple(weights.shape)}" if isinstance(weights, torch.Tensor) else type(weights).__name__
        raise MftError(
            f"balancer: {type(balancer).__module__}.{type(balancer).__name__}.weights() must return a tensor of "
            f"shape ({num_tasks},), one number per task, but returned {got}. Fix the plugin{plugin_suffix(balancer)}."
        )
    return normalize(weights, balancer)
