"""Weights that make the losses of all tasks fall at equal rates."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

import mftkit
from mftkit_plugins.balancers.adam import adam_state, adam_step
from mftkit_plugins.balancers.by_task import by_task
from mftkit_plugins.balancers.stateful import StatefulBalancer
from mftkit_plugins.balancers.validation_options import ValidationOptions, interval

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-8
BOUND_CHECK_EVERY = 50
"""Number of comparisons between two checks of the bounds on a device that would have to wait for a check."""
Bound = Annotated[float, Field(allow_inf_nan=False)]


class FamoOptions(ValidationOptions):
    """Options of FAMO."""

    losses: Literal["validation", "training"] = "validation"
    """The losses whose change is compared. "validation": those of a validation mini-batch, from one evaluation to the
    next. "training": those of the step's own batch, before and after its update, as in the FAMO paper."""
    hold: int = Field(default=5, ge=0)
    """Number of evaluations before new validation samples are drawn; 0: the same samples for the whole run."""
    learning_rate: float = Field(default=0.025, gt=0, allow_inf_nan=False)
    """Learning rate of the logits' own Adam: about the most that one changes per comparison."""
    weight_decay: float = Field(default=0.001, ge=0, allow_inf_nan=False)
    """Gamma, coupled: this times the logit is added to its gradient, which keeps the weights close to each other."""
    lower_bounds: Bound | dict[str, Bound] = 0.0
    """A number strictly below every loss that a task can reach, in nats and by the run's loss; for all tasks, or by
    name (0 for tasks that are not named)."""

    @model_validator(mode="after")
    def _only_options_with_an_effect(self) -> Self:
        validation_only = ("every", "samples", "hold")
        if self.losses == "training":
            fields = type(self).model_fields
            unused = [name for name in validation_only if getattr(self, name) != fields[name].default]
            if unused:
                raise ValueError(f'{", ".join(unused)}: no effect with losses "training"; remove')
        return self


class Famo(StatefulBalancer):
    """FAMO (Liu et al., NeurIPS 2023, arXiv 2306.03792, algorithm 2): the logarithms of all losses fall at equal rates.

    Compares validation losses, as in Eq. 4 of MFTCoder (arXiv 2311.02303), or training losses, as in the FAMO paper.

    With logits x (0 at the start), z = softmax(x), D_i = L_i - b_i + 1e-8 and c = sum_i z_i / D_i, the weights are
    (z_i / D_i) / c: the gradient is that of sum_i z_i log D_i, divided by c. Afterwards, on the same samples, d_i =
    log D_i before - log D_i after; the gradient of x is z_i (d_i - sum_j z_j d_j), and one step of Adam follows:
    tasks that improve fast lose weight.

    Exact for equal task shares only: core trains with w_i times the task's share of the mean. Shares are equal for
    losses that average over tasks, but not for losses that average over all tokens or samples.

    "validation": forward passes only. D is that of the latest evaluation; the weights are equal until the first
    comparison. Cost: (1 + 1 / ``hold``) forward passes over K * ``samples`` samples every ``every`` steps.
    "training": D is the step's own. Cost: a forward pass over its batch after the update, and another before it
    if there are several micro-batches and the loss is linear.

    A task that is absent keeps its logit and moments; "training" weighs the others as if it did not exist.
    State: 5 numbers per task. Sources disagree on gamma, the weight decay: 0.001 in the paper's algorithm 2, LibMTL
    and TorchJD; 0.01 as the default of the published class; 0.001 to 0.01 in its scripts.
    """

    Options = FamoOptions
    options: FamoOptions

    def __init__(self, options: FamoOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raise MftError for bounds of unknown tasks."""
        super().__init__(options, tasks)
        self.compares: Literal["validation", "training"] = options.losses
        if options.losses == "validation":
            self.needs_validation = interval(options, tasks)
            self.validation_samples = options.samples
            self.minibatch_reuse = options.hold
        self.needs_step_losses = options.losses == "training"
        self._lower_bounds = by_task(
            "balancer.options.lower_bounds", options.lower_bounds, tasks, default=0.0
        )
        self._comparisons = 0

    @cached_property
    def _bounds(self) -> Tensor:
        import torch

        return torch.tensor(self._lower_bounds, dtype=torch.float64)

    @cached_property
    def _lowest(self) -> Tensor:
        return self.full(math.inf)

    def initial_state(self) -> dict[str, Tensor]:
        """Return equal weights, distances of 1, and the state of Adam."""
        return {
            "logits": self.full(0.0),
            "distances": self.full(1.0),
            **adam_state(self.full(0.0)),
        }

    def weights(self) -> Tensor:
        """Return [tasks]; their mean is 1, also over the tasks whose D is known."""
        import torch

        distances = self.state["distances"]
        present = torch.isfinite(distances)
        shares = torch.where(present, torch.softmax(self.state["logits"], dim=0) / distances, 0.0)
        return torch.where(present, shares / shares.sum() * present.sum(), 1.0)

    def prepare(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Set D to the step's own, NaN for an absent task."""
        self.move_to(train)
        self.state["distances"] = self._distances(train)

    def compare(self, step: int, before: Tensor, after: Tensor) -> None:  # noqa: ARG002
        """Update the logits by one step of Adam."""
        import torch

        self.move_to(after)
        state, options = self.state, self.options
        old, new = self._distances(before), self._distances(after)
        self._comparisons += 1
        if after.device.type == "cpu" or self._comparisons % BOUND_CHECK_EVERY == 0:
            self._check_bounds()
        present = torch.isfinite(old) & torch.isfinite(new)
        gained = torch.where(present, old.log() - new.log(), 0.0)
        share = torch.softmax(torch.where(present, state["logits"], -torch.inf), dim=0)
        gradient = share * (gained - (share * gained).sum())
        adam_step(state, "logits", gradient, present, options.learning_rate, options.weight_decay)
        if options.losses == "validation":
            state["distances"] = torch.where(present, new, state["distances"])

    def metrics(self) -> dict[str, float]:
        """Return each task's logit."""
        logits = self.state["logits"].tolist()
        return {f"logit/{task.name}": logit for task, logit in zip(self.tasks, logits, strict=True)}

    def _distances(self, losses: Tensor) -> Tensor:
        """Return L - b [tasks], NaN if the loss is not finite; keep the lowest losses for ``_check_bounds``."""
        import torch

        if self._bounds.device != losses.device or self._bounds.dtype != losses.dtype:
            self._bounds, self._lowest = self._bounds.to(losses), self._lowest.to(losses)
        self._lowest = torch.fmin(self._lowest, losses)
        distances = (losses - self._bounds).clamp(min=0.0) + EPSILON
        return torch.where(torch.isfinite(losses), distances, torch.nan)

    def _check_bounds(self) -> None:
        """Raise MftError if a loss was not above its bound."""
        low = self._lowest <= self._bounds
        if not bool(low.any()):
            return
        reached = [
            f"{task.name!r} ({lowest:.6g}, not above {bound:.6g})"
            for task, lowest, bound, is_low in zip(
                self.tasks, self._lowest.tolist(), self._bounds.tolist(), low.tolist(), strict=True
            )
            if is_low
        ]
        raise mftkit.MftError(
            f"balancer.options.lower_bounds: the loss of {', '.join(reached)} has reached its lower bound, and FAMO "
            "takes the logarithm of their difference; set bounds strictly below every loss that a task can reach "
            "(a negative bound if the loss can become 0), and start over with --fresh."
        )

    def state_dict(self) -> dict[str, object]:
        """Return the state. Raise MftError if a loss is below its bound, so that no checkpoint contains it."""
        self._check_bounds()
        return super().state_dict()
