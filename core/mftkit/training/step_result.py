"""The numbers of one optimizer step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StepResult:
    """The numbers of one step, on the device."""

    objective: Tensor
    """Scalar: sum over tasks of weight * share * loss, over the global batch; plus the router's loss, if any."""
    task_losses: Tensor
    """[tasks] float64, before the update; NaN for absent tasks."""
    weights: Tensor
    """[tasks], their mean over all tasks is 1, before those of stopped tasks become 0."""
    grad_norm: Tensor
    """Scalar, before clipping."""
    router_loss: Tensor | None
    """Scalar: this process's share of the auxiliary loss, if the model has one."""
    losses_after_update: Tensor | None
    """``task_losses`` of the same batch after the update, if the balancer compares them."""
