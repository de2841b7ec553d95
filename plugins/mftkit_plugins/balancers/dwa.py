"""Weights from how much the mean loss fell between two windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

import mftkit
from mftkit_plugins.balancers.stateful import StatefulBalancer

if TYPE_CHECKING:
    from torch import Tensor


class DwaOptions(mftkit.Options):
    """Options of dynamic weight averaging."""

    window: int = Field(default=50, ge=1)
    """Steps over which losses are averaged: the paper's epoch."""
    temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """The higher, the more alike the weights."""


class Dwa(StatefulBalancer):
    """w_i = K softmax_i(r_i / T) with r_i = M_i(t-1) / M_i(t-2), M_i(t) the mean of L_i over window t (Liu, Johns and
    Davison, arXiv 1803.10704, Eq. 7).

    Window t is the steps from t * ``window`` + 1 on. Equal weights in the first two. The mean is over the steps in
    which a task was present; where it was in none, its mean is the one before, and r_i = 1. Cost: nothing that can be
    measured; state: 4 numbers a task.
    """

    Options = DwaOptions
    options: DwaOptions

    def __init__(self, options: DwaOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.memory = {
            "sum": self.full(0.0),
            "count": self.full(0.0),
            "newer": self.full(math.nan),
            "older": self.full(math.nan),
        }

    def weights(self) -> Tensor:
        """[tasks]; their sum is 1."""
        rate = self.memory["newer"] / self.memory["older"]
        rate = torch.where(torch.isfinite(rate), rate, 1.0)
        return torch.softmax(rate / self.options.temperature, dim=0)

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Add the step's own losses, and close the window where it ends."""
        self.meet(train)
        memory, present = self.memory, torch.isfinite(train)
        memory["sum"] = memory["sum"] + torch.where(present, train, 0.0)
        memory["count"] = memory["count"] + present
        if step % self.options.window:
            return
        mean = memory["sum"] / memory["count"]
        memory["older"] = memory["newer"]
        memory["newer"] = torch.where(memory["count"] > 0, mean, memory["older"])
        memory["sum"], memory["count"] = torch.zeros_like(mean), torch.zeros_like(mean)
