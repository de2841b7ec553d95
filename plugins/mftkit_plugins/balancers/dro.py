"""Weights that grow with a task's loss, or with its excess over a reference."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated

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
    """Relative growth of a weight per step and per nat of excess loss."""
    smoothing: float = Field(default=0.001, ge=0, le=1)
    """Share of equal weights that is mixed in at each step: no task's share of the weight falls below this divided by
    the number of tasks."""
    reference: dict[str, Loss] | None = None
    """Reachable loss of each task by name, for instance that of a model trained on this task alone, in nats and by the
    run's loss; null: 0 for all."""


class Dro(StatefulBalancer):
    """Online group distributionally robust optimization on excess loss: weight moves to the tasks that are worst off.

    w'_i = w_i exp(eta max(L_i - reference_i, 0)), w = (1 - c) w' / sum w' + c / K. Without references, the online
    algorithm of Sagawa et al. (arXiv 1911.08731, algorithm 1); with them, the weights of DoReMi (Xie et al., arXiv
    2305.10429, algorithm 1), where c = 0.001, eta = 1 and excess is cut off at 0 token by token, not task by task.
    Both update w by a step's losses before its gradient; here they take effect from the next step on, which costs
    nothing. The w' of an absent task is its w. Cost: not measurable; state: 1 number per task.
    """

    Options = DroOptions
    options: DroOptions

    def __init__(self, options: DroOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raise MftError for references of unknown tasks, or if a task has none."""
        super().__init__(options, tasks)
        given = 0.0 if options.reference is None else options.reference
        self._reference_losses = by_task("balancer.options.reference", given, tasks)

    def initial_state(self) -> dict[str, Tensor]:
        """Return equal weights."""
        return {"weights": self.full(1.0 / max(1, len(self.tasks)))}

    @cached_property
    def _reference(self) -> Tensor:
        import torch

        return torch.tensor(self._reference_losses, dtype=torch.float64)

    def weights(self) -> Tensor:
        """Return [tasks], which sum to 1."""
        return self.state["weights"]

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Move weight to the tasks with the largest excess."""
        import torch

        self.move_to(train)
        self._reference = self._reference.to(train)
        excess = torch.where(torch.isfinite(train), (train - self._reference).clamp(min=0.0), 0.0)
        # A softmax of logarithms: nothing overflows, however large an excess is.
        moved = torch.softmax(self.state["weights"].log() + self.options.step_size * excess, dim=0)
        smoothing = self.options.smoothing
        self.state["weights"] = (1 - smoothing) * moved + smoothing / len(self.tasks)
