"""Weights that grow with a task's loss, or its excess over a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

import mftkit
from mftkit_plugins.balancers.by_task import by_task
from mftkit_plugins.balancers.stateful import StatefulBalancer

if TYPE_CHECKING:
    from torch import Tensor

Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DroOptions(mftkit.Options):
    """Options of online group DRO."""

    step_size: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """By how much a weight grows in a step, relatively, for each nat of excess loss."""
    smoothing: float = Field(default=0.001, ge=0, le=1)
    """Share of equal weights that is mixed in at each step: no task's share of the weight falls below this over the
    number of tasks."""
    reference: dict[str, Loss] | None = None
    """The loss of each task by name that can be reached, for instance by a model of that task alone, in nats by the
    run's loss; null: 0 for all."""


class Dro(StatefulBalancer):
    """Online group distributionally robust optimisation on excess loss: w moves towards the tasks that are worst off.

    w'_i = w_i exp(eta max(L_i - reference_i, 0)), w = (1 - c) w' / sum w' + c / K. Without references, the online
    algorithm of Sagawa et al. (arXiv 1911.08731, algorithm 1); with them, the weights of DoReMi (Xie et al., arXiv
    2305.10429, algorithm 1), where c = 0.001, eta = 1 and excess is cut off at 0 token by token, not task by task. Both
    update w by a step's losses before its gradient; here they count from the next step on, which costs nothing. An
    absent task's w' is its w. Cost: nothing that can be measured; state: 1 number a task.
    """

    Options = DroOptions
    options: DroOptions

    def __init__(self, options: DroOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raises MftError for references of tasks that the run has not, or that leave one out."""
        super().__init__(options, tasks)
        given = 0.0 if options.reference is None else options.reference
        self._reference = by_task("balancer.options.reference", given, tasks)
        self.memory = {"weights": self.full(1.0 / max(1, len(tasks)))}

    def weights(self) -> Tensor:
        """[tasks]; their sum is 1."""
        return self.memory["weights"]

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Move the weights towards the tasks of the largest excess."""
        self.meet(train)
        self._reference = self._reference.to(train)
        excess = torch.where(torch.isfinite(train), (train - self._reference).clamp(min=0.0), 0.0)
        # A softmax: nothing overflows, however large an excess is.
        moved = torch.softmax(self.memory["weights"].log() + self.options.step_size * excess, dim=0)
        smoothing = self.options.smoothing
        self.memory["weights"] = (1 - smoothing) * moved + smoothing / len(self.tasks)
