"""Weights that make the tasks' losses fall at equal rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator

import mftkit
from mftkit_plugins.balancers.adam import adam_memory, adam_step
from mftkit_plugins.balancers.by_task import by_task
from mftkit_plugins.balancers.stateful import StatefulBalancer
from mftkit_plugins.balancers.validation_options import ValidationOptions, interval

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-8
FINITE_CHECK_EVERY = 50
"""Comparisons after which losses below their bounds are looked for, where a look makes the device wait."""
Bound = Annotated[float, Field(allow_inf_nan=False)]


class FamoOptions(ValidationOptions):
    """Options of FAMO."""

    losses: Literal["validation", "training"] = "validation"
    """Whose change is compared. "validation": that of a mini-batch of validation samples, from look to look.
    "training": that of the step's own batch, before and after its update, as in the FAMO paper."""
    hold: int = Field(default=5, ge=0)
    """For how many looks the same validation samples are kept; 0: for the whole run."""
    learning_rate: float = Field(default=0.025, gt=0, allow_inf_nan=False)
    """Of the logits' own Adam: about the most that one moves in a comparison."""
    weight_decay: float = Field(default=0.001, ge=0, allow_inf_nan=False)
    """Gamma, coupled: this times the logit is added to its gradient, which draws the weights together."""
    lower_bounds: Bound | dict[str, Bound] = 0.0
    """A number strictly below every loss that a task can reach, in nats by the run's loss; for all tasks, or by name
    (tasks not named: 0)."""

    @model_validator(mode="after")
    def _no_looks_where_none_are_taken(self) -> Self:
        looks = ("every", "samples", "hold")
        if self.losses == "training":
            fields = type(self).model_fields
            idle = [name for name in looks if getattr(self, name) != fields[name].default]
            if idle:
                raise ValueError(f'{", ".join(idle)}: without effect where losses is "training"; leave out')
        return self


class Famo(StatefulBalancer):
    """FAMO (Liu et al., NeurIPS 2023, arXiv 2306.03792, algorithm 2): the logarithms of all losses fall alike.

    By validation losses, as in Eq. 4 of MFTCoder (arXiv 2311.02303), or by training losses, as in the FAMO paper.

    With logits x (0 at the start), z = softmax(x), D_i = L_i - b_i + 1e-8 and c = sum_i z_i / D_i, the weights are
    (z_i / D_i) / c: the gradient is that of sum_i z_i log D_i, over c. Afterwards, on the same samples, d_i =
    log D_i before - log D_i after; the gradient of x is z_i (d_i - sum_j z_j d_j), and one step of Adam follows:
    tasks that improve fast lose weight.

    Exact for equal task shares only: core trains with w_i times the task's share of the mean, which is equal for
    losses that average over tasks, and is not for those that average over all tokens or samples.

    "validation": forward passes only. D is that of the newest look; the weights are equal until the first
    comparison. Cost: (1 + 1 / ``hold``) forward passes over K * ``samples`` samples every ``every`` steps.
    "training": D is the step's own. Cost: a forward pass over its batch after the update, and one before it
    where there are several micro-batches and the loss is linear.

    A task that is absent keeps its logit and moments; "training" weighs the others as if there were no more.
    State: 5 numbers a task. Sources do not agree on gamma, the weight decay: 0.001 in the paper's algorithm 2, LibMTL
    and TorchJD, 0.01 as the default of the published class, 0.001 to 0.01 in its scripts.
    """

    Options = FamoOptions
    options: FamoOptions

    def __init__(self, options: FamoOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raises MftError for bounds of tasks that the run has not."""
        super().__init__(options, tasks)
        self.compares: Literal["validation", "training"] = options.losses
        if options.losses == "validation":
            self.needs_validation = interval(options, tasks)
            self.validation_samples = options.samples
            self.minibatch_reuse = options.hold
        self.needs_step_losses = options.losses == "training"
        self._bounds = by_task("balancer.options.lower_bounds", options.lower_bounds, tasks, default=0.0)
        self._lowest = self.full(math.inf)
        self._comparisons = 0
        self.memory = {
            "logits": self.full(0.0),
            "distances": self.full(1.0),
            **adam_memory(self.full(0.0)),
        }

    def weights(self) -> Tensor:
        """[tasks]; their mean is 1, also over the tasks of which D is known."""
        distances = self.memory["distances"]
        present = torch.isfinite(distances)
        shares = torch.where(present, torch.softmax(self.memory["logits"], dim=0) / distances, 0.0)
        return torch.where(present, shares / shares.sum() * present.sum(), 1.0)

    def prepare(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """D is the step's own, NaN where a task is absent."""
        self.meet(train)
        self.memory["distances"] = self._distances(train)

    def compare(self, step: int, before: Tensor, after: Tensor) -> None:  # noqa: ARG002
        """One step of Adam for the logits."""
        self.meet(after)
        memory, options = self.memory, self.options
        old, new = self._distances(before), self._distances(after)
        self._comparisons += 1
        if after.device.type == "cpu" or self._comparisons % FINITE_CHECK_EVERY == 0:
            self._check_bounds()
        present = torch.isfinite(old) & torch.isfinite(new)
        gained = torch.where(present, old.log() - new.log(), 0.0)
        share = torch.softmax(torch.where(present, memory["logits"], -torch.inf), dim=0)
        gradient = share * (gained - (share * gained).sum())
        adam_step(memory, "logits", gradient, present, options.learning_rate, options.weight_decay)
        if options.losses == "validation":
            memory["distances"] = torch.where(present, new, memory["distances"])

    def _distances(self, losses: Tensor) -> Tensor:
        """L - b [tasks], NaN where it is not finite; the lowest losses are kept for ``_check_bounds``."""
        if self._bounds.device != losses.device or self._bounds.dtype != losses.dtype:
            self._bounds, self._lowest = self._bounds.to(losses), self._lowest.to(losses)
        self._lowest = torch.fmin(self._lowest, losses)
        distances = (losses - self._bounds).clamp(min=0.0) + EPSILON
        return torch.where(torch.isfinite(losses), distances, torch.nan)

    def _check_bounds(self) -> None:
        """Raises MftError for a loss that was not above its bound."""
        low = self._lowest <= self._bounds
        if not bool(low.any()):
            return
        told = [
            f"{task.name!r} ({lowest:.6g}, not above {bound:.6g})"
            for task, lowest, bound, is_low in zip(
                self.tasks, self._lowest.tolist(), self._bounds.tolist(), low.tolist(), strict=True
            )
            if is_low
        ]
        raise mftkit.MftError(
            f"balancer.options.lower_bounds: the loss has reached its lower bound in {', '.join(told)}, and FAMO "
            "takes the logarithm of what is between them; set bounds strictly below every loss that a task can "
            "reach (a negative one where it can become 0), and start over with --fresh."
        )

    def state_dict(self) -> dict[str, Any]:
        """The whole memory. Raises MftError for a loss below its bound: it is not kept."""
        self._check_bounds()
        return super().state_dict()
