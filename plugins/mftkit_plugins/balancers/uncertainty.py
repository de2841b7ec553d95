"""Weights from learned variances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

import mftkit
from mftkit_plugins.balancers.adam import adam_memory, adam_step
from mftkit_plugins.balancers.stateful import StatefulBalancer

if TYPE_CHECKING:
    from torch import Tensor


class UncertaintyOptions(mftkit.Options):
    """Options of uncertainty weighting."""

    learning_rate: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """Of the log-variances' own Adam: about the most that one moves in a step."""


class Uncertainty(StatefulBalancer):
    """w_i proportional to exp(-s_i), where s minimises sum_i exp(-s_i) L_i + s_i (Kendall, Gal and Cipolla, arXiv
    1705.07115, Eq. 7 to 10, with s_i = log sigma_i^2 up to a constant factor, which the mean weight takes out).

    s_i starts at 0 and follows 1 - exp(-s_i) L_i by an Adam of its own, once a step, after the update, as if it were
    trained with the model; at rest w_i is proportional to 1 / L_i. Half of both terms, as the paper has them for
    regression, is the same to Adam. An absent task's s_i and moments stay as they are. Cost: nothing that can be
    measured; state: 4 numbers a task.
    """

    Options = UncertaintyOptions
    options: UncertaintyOptions

    def __init__(self, options: UncertaintyOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.memory = {"log_variance": self.full(0.0), **adam_memory(self.full(0.0))}

    def weights(self) -> Tensor:
        """[tasks]; their sum is 1."""
        return torch.softmax(-self.memory["log_variance"], dim=0)

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Learn from the step's own losses."""
        self.meet(train)
        gradient = 1 - torch.exp(-self.memory["log_variance"]) * train
        adam_step(self.memory, "log_variance", gradient, torch.isfinite(train), self.options.learning_rate)
