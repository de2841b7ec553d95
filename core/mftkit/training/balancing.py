"""Gives a balancer the losses that it asks for, when it asks for them; what it does not ask for costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mftkit.training.objective import normalise
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from mftkit.interfaces.balancer import Balancer


class Balancing:
    """A balancer in a run.

    Takes are numbered: take k is at step k * ``needs_validation``, of mini-batch k // ``minibatch_reuse``. A balancer
    that compares is given, at take k + 1, the losses that mini-batch k // ``minibatch_reuse`` had at take k and has
    now.
    """

    def __init__(self, balancer: Balancer, num_tasks: int, take: Callable[[int, int], Tensor]) -> None:
        """``take(turn, samples)`` gives the losses [tasks] of a mini-batch by the weights of this moment."""
        self.balancer = balancer
        self._num_tasks = num_tasks
        self._take = take
        self.stopped: list[int] = []
        """Tasks that gain no more, by index: their weight is 0, and that of the others as it was."""
        self._held: Tensor | None = None
        """Losses of the mini-batch that is being compared, at the last take."""

    @property
    def prepares(self) -> bool:
        """Whether the weights wait for the step's own losses."""
        return self.balancer.needs_step_losses

    @property
    def repeats_step(self) -> bool:
        """Whether the step's losses are wanted once more after its update."""
        return self.balancer.compares == "training"

    def begin(self, step: int) -> None:
        """Before the forward passes of ``step``."""
        if self.balancer.compares == "validation" and self._held is None:
            self._held = self._losses((step - 1) // self.balancer.needs_validation)

    def weights(self, step: int, train: Tensor | None) -> Tensor:
        """Weights [tasks] of ``step``; ``train`` its losses, where ``prepares``.

        Their mean over all tasks is 1, before those of stopped tasks become 0.
        """
        if train is not None and self.balancer.needs_step_losses:
            every = self.balancer.needs_validation
            fresh = bool(every) and (step - 1) % every == 0
            self.balancer.prepare(step, train, self._held if fresh else None)
        weights = weights_of(self.balancer, self._num_tasks)
        if self.stopped:
            weights[self.stopped] = 0.0
        return weights

    def end(self, step: int, train: Tensor, again: Tensor | None) -> None:
        """After the update of ``step``; ``again``: its losses after the update, where ``repeats_step``."""
        every = self.balancer.needs_validation
        valid = self._losses_after(step // every) if every and step % every == 0 else None
        before, self._held = self._held, self._next(step, valid)
        self.balancer.observe(step, train, valid)
        if again is not None:
            self.balancer.compare(step, train, again)
        elif self.balancer.compares == "validation" and valid is not None and before is not None:
            self.balancer.compare(step, before, valid)

    def _losses_after(self, take: int) -> Tensor:
        """At take ``take``: of the mini-batch that was held until now, where one is; else of its own."""
        return self._losses(take - 1 if self.balancer.compares == "validation" else take)

    def _next(self, step: int, valid: Tensor | None) -> Tensor | None:
        if valid is None or self.balancer.compares != "validation":
            return self._held
        take = step // self.balancer.needs_validation
        return valid if self._turn(take) == self._turn(take - 1) else None

    def _losses(self, take: int) -> Tensor:
        return self._take(self._turn(take), self.balancer.validation_samples)

    def _turn(self, take: int) -> int:
        return take // self.balancer.minibatch_reuse if self.balancer.minibatch_reuse else 0

    def state_dict(self) -> dict[str, Any]:
        """The balancer's state, and the losses that it is to compare with."""
        return {"balancer": self.balancer.state_dict(), "held": self._held, "stopped": self.stopped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.balancer.load_state_dict(state["balancer"])
        self._held, self.stopped = state["held"], state["stopped"]


FORWARD = 1 / 3
"""Of a training step's arithmetic: the backward pass is about two forward passes."""


def extra_work(balancer: Balancer, minibatch: float, step: float, *, accumulates: bool) -> float:
    """What a balancer asks for, as a share of a training step's arithmetic, on average over steps.

    Args:
        balancer: what asks.
        minibatch: tokens of a validation mini-batch.
        step: tokens of a training step.
        accumulates: whether a step has several micro-batches, and its loss needs no first pass over them.
    """
    passes = int(balancer.needs_step_losses and accumulates) + int(balancer.compares == "training")
    if not balancer.needs_validation:
        return passes * FORWARD
    rotating = (
        1 / balancer.minibatch_reuse
        if balancer.compares == "validation" and balancer.minibatch_reuse
        else 0.0
    )
    takes = (1 + rotating) / balancer.needs_validation
    return (passes + takes * minibatch / step) * FORWARD


def weights_of(balancer: Balancer, num_tasks: int) -> Tensor:
    """A balancer's weights [tasks], their mean over all tasks 1.

    Raises:
        MftError: they are no such thing.
    """
    weights = balancer.weights()
    if not isinstance(weights, torch.Tensor) or tuple(weights.shape) != (num_tasks,):
        got = f"shape {tuple(weights.shape)}" if isinstance(weights, torch.Tensor) else type(weights).__name__
        raise MftError(
            f"balancer: {type(balancer).__module__}.{type(balancer).__name__}.weights() must give a tensor of shape "
            f"({num_tasks},), one number a task, and gave {got}; mend it in the plugin."
        )
    return normalise(weights)
