"""Weights from learned variances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

import mftkit
from mftkit_plugins.balancers.adam import adam_state, adam_step
from mftkit_plugins.balancers.stateful import StatefulBalancer

if TYPE_CHECKING:
    from torch import Tensor


class UncertaintyOptions(mftkit.Options):
    """Options of uncertainty weighting."""

    learning_rate: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """Learning rate of the log-variances' own Adam: about the most that one changes per step."""


class Uncertainty(StatefulBalancer):
    """w_i proportional to exp(-s_i), where s minimizes sum_i exp(-s_i) L_i + s_i (Kendall, Gal and Cipolla, arXiv
    1705.07115, Eq. 7 to 10, with s_i = log sigma_i^2 up to a constant factor, which the mean weight takes out).

    s_i starts at 0 and follows the gradient 1 - exp(-s_i) L_i by its own Adam, once per step, after the update, as if
    it were trained with the model; at convergence, w_i is proportional to 1 / L_i. The factor 1/2 of both terms that
    the paper has for regression makes no difference to Adam. The s_i and moments of an absent task stay unchanged.
    Cost: not measurable; state: 4 numbers per task.
    """

    Options = UncertaintyOptions
    options: UncertaintyOptions

    def initial_state(self) -> dict[str, Tensor]:
        """Return the logarithms of the variances, 0 for every task, and the state of Adam."""
        return {"log_variance": self.full(0.0), **adam_state(self.full(0.0))}

    def weights(self) -> Tensor:
        """Return [tasks], which sum to 1."""
        import torch

        return torch.softmax(-self.state["log_variance"], dim=0)

    def metrics(self) -> dict[str, float]:
        """Return each task's s_i."""
        values = self.state["log_variance"].tolist()
        return {f"log_variance/{task.name}": value for task, value in zip(self.tasks, values, strict=True)}

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Update the log-variances by the step's own losses."""
        import torch

        self.move_to(train)
        gradient = 1 - torch.exp(-self.state["log_variance"]) * train
        adam_step(self.state, "log_variance", gradient, torch.isfinite(train), self.options.learning_rate)
