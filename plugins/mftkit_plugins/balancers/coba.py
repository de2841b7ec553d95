"""Weights from the slopes of validation losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from pydantic import Field

from mftkit_plugins.balancers.stateful import StatefulBalancer
from mftkit_plugins.balancers.validation_options import ValidationOptions, interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    import mftkit


class CobaOptions(ValidationOptions):
    """Options of CoBa."""

    hold: int = Field(default=1, ge=0)
    """Number of evaluations before new validation samples are drawn; 0: the same samples for the whole run."""
    warmup: int = Field(default=10, ge=2)
    """Number of evaluations before the first weights (W); until then, all tasks weigh the same."""
    window: int = Field(default=20, ge=2)
    """Number of evaluations that a slope is fitted to, and of slopes that a slope is compared with (N); 2 to 5 times
    the warm-up."""
    temperature: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Tau: how strongly the weights react if the loss of the worst task starts to rise."""
    floor: float = Field(default=0.1, ge=0, le=1)
    """Minimum weight of a task, relative to the mean over tasks; 0: no minimum, as in the published formula."""


class Coba(StatefulBalancer):
    """CoBa (Gong et al., EMNLP 2024, arXiv 2410.06741): equal pace for all tasks, and less weight for diverging ones.

    At each evaluation t of validation samples, l_i(t) is task i's loss divided by its first one, and a_i(t) the slope
    of the line through the last N of them: per optimizer step, by least squares over the numbers of the steps of their
    evaluations; 0 for a task with fewer than two. Then, over K tasks,

    RCS_i = softmax_i(K a_i / sum_j |a_j|): the slowest task gets most;
    ACS_i = softmax_i(-n a_i(t) / sum_s |a_i(s)|), s the last n <= N slopes: one slower than its own past gets least;
    DF = min(1, t softmax_s(-tau t a_max(s) / sum_s |a_max(s)|) at s = t), s all t evaluations since the warm-up and
    a_max the largest slope of any task, with its sign: DF falls to 0 when the loss of the worst task rises;
    w_i = DF RCS_i + (1 - DF) ACS_i, and then (1 - floor) w_i + floor / K: both sum to 1.

    The published code omits the min of DF, applies another softmax to w, uses the slope of the largest loss as a_max,
    and fits the losses of a task that is absent at times to the wrong steps. This is the formula.

    Cost: a forward pass over K * ``samples`` validation samples every ``every`` steps. State: 2 N numbers per task,
    and one per evaluation.
    """

    Options = CobaOptions
    options: CobaOptions

    def __init__(self, options: CobaOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.needs_validation = interval(options, tasks)
        self.validation_samples = options.samples
        self.minibatch_reuse = options.hold
        self._evaluations = 0

    def initial_state(self) -> dict[str, Tensor]:
        """Return an empty history and equal weights."""
        import torch

        return {
            "first": self.full(math.nan),
            "steps": torch.zeros(0, dtype=torch.float64),
            "losses": self.full(0.0).repeat(0, 1),
            "slopes": self.full(0.0).repeat(0, 1),
            "worst": torch.zeros(0, dtype=torch.float64),
            "weights": self.full(1.0 / max(1, len(self.tasks))),
        }

    def weights(self) -> Tensor:
        """Return [tasks], which sum to 1."""
        return self.state["weights"]

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Add the validation losses, if there are any, and compute weights once the warm-up is over."""
        import torch

        if valid is None:
            return
        self.move_to(valid)
        self._evaluations += 1
        state, window = self.state, self.options.window
        valid = torch.where(torch.isfinite(valid), valid, torch.nan)
        state["first"] = torch.where(state["first"].isnan(), valid, state["first"])
        relative = valid / state["first"].clamp(min=torch.finfo(valid.dtype).tiny)
        state["steps"] = _append(state["steps"], valid.new_full((), step))[-window:]
        state["losses"] = _append(state["losses"], relative)[-window:]
        if self._evaluations >= self.options.warmup:
            slope = slopes(state["steps"], state["losses"])
            state["slopes"] = _append(state["slopes"], slope)[-window:]
            state["worst"] = _append(state["worst"], slope.max())
            formula = convergence_weights(state["slopes"], state["worst"], self.options.temperature)
            floor = self.options.floor
            state["weights"] = (1 - floor) * formula + floor / len(self.tasks)

    def metrics(self) -> dict[str, float]:
        """Return the divergence factor DF, and each task's slope of relative losses per step, after the warm-up."""
        state = self.state
        if not len(state["worst"]):
            return {}
        found = {"divergence_factor": float(divergence_factor(state["worst"], self.options.temperature))}
        latest = state["slopes"][-1].tolist()
        return found | {f"slope/{task.name}": slope for task, slope in zip(self.tasks, latest, strict=True)}

    def state_dict(self) -> dict[str, object]:
        """Return the tensors, and the number of evaluations (under the name of earlier checkpoints)."""
        return {**self.state, "looks": self._evaluations}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what ``state_dict`` returned."""
        super().load_state_dict({name: value for name, value in state.items() if name != "looks"})
        self._evaluations = cast("int", state["looks"])


def slopes(steps: Tensor, losses: Tensor) -> Tensor:
    """Return the slope of each task's least-squares line, [tasks], through ``losses`` [n, tasks] at ``steps`` [n].

    NaN marks a missing loss, which is left out. The slope of a task with fewer than two losses is 0.
    """
    import torch

    present = torch.isfinite(losses)
    count = present.sum(0)
    times = torch.where(present, steps.unsqueeze(1), 0.0)
    values = torch.where(present, losses, 0.0)
    centered = torch.where(present, times - times.sum(0) / count, 0.0)
    return torch.where(count > 1, (centered * values).sum(0) / centered.square().sum(0), 0.0)


def convergence_weights(history: Tensor, worst: Tensor, temperature: float) -> Tensor:
    """Return DF RCS + (1 - DF) ACS [tasks], which sum to 1.

    Args:
        history: slopes [n, tasks], the latest last.
        worst: the largest slope at each evaluation [t], the latest last.
        temperature: tau.
    """
    import torch

    latest = history[-1]
    relative = torch.softmax(len(latest) * _over(latest, latest.abs().sum()), dim=0)
    absolute = torch.softmax(-len(history) * _over(latest, history.abs().sum(0)), dim=0)
    factor = divergence_factor(worst, temperature)
    return factor * relative + (1 - factor) * absolute


def divergence_factor(worst: Tensor, temperature: float) -> Tensor:
    """Return DF, from 0 to 1: the share of RCS; ``worst`` and ``temperature`` as in ``convergence_weights``."""
    import torch

    sharpness = temperature * len(worst)
    divergence = torch.softmax(-sharpness * _over(worst, worst.abs().sum()), dim=0)[-1]
    return (len(worst) * divergence).clamp(max=1.0)


def _over(numbers: Tensor, total: Tensor) -> Tensor:
    """Return ``numbers / total``; 0 if the total is 0, as when no loss has changed."""
    import torch

    return numbers / total.clamp(min=torch.finfo(numbers.dtype).tiny)


def _append(history: Tensor, latest: Tensor) -> Tensor:
    import torch

    return torch.cat([history, latest.unsqueeze(0)])
