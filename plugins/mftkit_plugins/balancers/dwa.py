"""Weights from the decrease of the mean loss between two windows of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

import mftkit
from mftkit_plugins.balancers.stateful import StatefulBalancer

if TYPE_CHECKING:
    from torch import Tensor


class DwaOptions(mftkit.Options):
    """Options of dynamic weight averaging."""

    window: int = Field(default=50, ge=1)
    """Number of steps over which losses are averaged: the paper's epoch."""
    temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """Higher temperatures make the weights more equal."""


class Dwa(StatefulBalancer):
    """w_i = K softmax_i(r_i / T) with r_i = M_i(t-1) / M_i(t-2), M_i(t) the mean of L_i over window t (Liu, Johns and
    Davison, arXiv 1803.10704, Eq. 7).

    Window t begins at step t * ``window`` + 1. Weights are equal in the first two windows. The mean is over the steps
    in which a task was present; if it was in none of them, its mean is that of the window before, and r_i = 1. Cost:
    not measurable; state: 4 numbers per task.
    """

    Options = DwaOptions
    options: DwaOptions

    def initial_state(self) -> dict[str, Tensor]:
        """Return the sums and means of two windows that have not begun."""
        return {
            "sum": self.full(0.0),
            "count": self.full(0.0),
            "newer": self.full(math.nan),
            "older": self.full(math.nan),
        }

    def weights(self) -> Tensor:
        """Return [tasks], which sum to 1."""
        import torch

        rate = self.state["newer"] / self.state["older"]
        rate = torch.where(torch.isfinite(rate), rate, 1.0)
        return torch.softmax(rate / self.options.temperature, dim=0)

    def metrics(self) -> dict[str, float]:
        """Return each task's rate r_i, once two windows are over."""
        rates = (self.state["newer"] / self.state["older"]).tolist()
        return {
            f"rate/{task.name}": rate
            for task, rate in zip(self.tasks, rates, strict=True)
            if math.isfinite(rate)
        }

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Add the step's own losses, and close the window at its end."""
        import torch

        self.move_to(train)
        state, present = self.state, torch.isfinite(train)
        state["sum"] = state["sum"] + torch.where(present, train, 0.0)
        state["count"] = state["count"] + present
        if step % self.options.window:
            return
        mean = state["sum"] / state["count"]
        state["older"] = state["newer"]
        state["newer"] = torch.where(state["count"] > 0, mean, state["older"])
        state["sum"], state["count"] = torch.zeros_like(mean), torch.zeros_like(mean)
