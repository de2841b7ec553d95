"""Weights from the slopes of validation losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from mftkit_plugins.balancers.stateful import StatefulBalancer
from mftkit_plugins.balancers.validation_options import ValidationOptions, interval

if TYPE_CHECKING:
    from torch import Tensor

    import mftkit


class CobaOptions(ValidationOptions):
    """Options of CoBa."""

    hold: int = Field(default=1, ge=0)
    """For how many looks the same samples are kept; 0: for the whole run."""
    warmup: int = Field(default=10, ge=2)
    """Looks before the first weights: W. Until then all tasks weigh the same."""
    window: int = Field(default=20, ge=2)
    """Looks that a slope is fitted to, and slopes that one is compared with: N; 2 to 5 times the warm-up."""
    temperature: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """Tau: how sharply a turn upwards of the worst task shows."""
    floor: float = Field(default=0.1, ge=0, le=1)
    """The least weight of a task, where 1 is the mean over tasks; 0: none, the formula as it stands."""


class Coba(StatefulBalancer):
    """CoBa (Gong et al., EMNLP 2024, arXiv 2410.06741): equal pace for all tasks, and less for one that diverges.

    At each look t, l_i(t) is task i's validation loss over its first one, and a_i(t) the slope of the line
    through the last N of them: per optimizer step, by least squares over the numbers of the steps at which they
    were taken; 0 for a task with fewer than two. Then, over K tasks,

    RCS_i = softmax_i(K a_i / sum_j |a_j|): the slowest task gets most;
    ACS_i = softmax_i(-n a_i(t) / sum_s |a_i(s)|), s the last n <= N slopes: one slower than its own past gets least;
    DF = min(1, t softmax_s(-tau t a_max(s) / sum_s |a_max(s)|) at s = t), s all t looks since the warm-up and a_max
    the largest slope of any task, with its sign: it falls to 0 when the worst task turns upwards;
    w_i = DF RCS_i + (1 - DF) ACS_i, and in its place (1 - floor) w_i + floor / K: both sum to 1.

    The published code leaves out the min of DF, puts another softmax around w, takes the slope of the largest
    loss for a_max, and fits the losses of a task that was absent now and then at other times than their own.
    This is the formula.

    Cost: a forward pass over K * ``samples`` validation samples every ``every`` steps. State: 2 N numbers a task,
    and one a look.
    """

    Options = CobaOptions
    options: CobaOptions

    def __init__(self, options: CobaOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.needs_validation = interval(options, tasks)
        self.validation_samples = options.samples
        self.minibatch_reuse = options.hold
        self._looks = 0
        self.memory = {
            "first": self.full(math.nan),
            "steps": torch.zeros(0, dtype=torch.float64),
            "losses": self.full(0.0).repeat(0, 1),
            "slopes": self.full(0.0).repeat(0, 1),
            "worst": torch.zeros(0, dtype=torch.float64),
            "weights": self.full(1.0 / max(1, len(tasks))),
        }

    def weights(self) -> Tensor:
        """[tasks]; their sum is 1."""
        return self.memory["weights"]

    def observe(self, step: int, train: Tensor, valid: Tensor | None) -> None:  # noqa: ARG002
        """Add a look, where there was one, and weigh by the slopes once the warm-up is over."""
        if valid is None:
            return
        self.meet(valid)
        self._looks += 1
        memory, window = self.memory, self.options.window
        valid = torch.where(torch.isfinite(valid), valid, torch.nan)
        memory["first"] = torch.where(memory["first"].isnan(), valid, memory["first"])
        relative = valid / memory["first"].clamp(min=torch.finfo(valid.dtype).tiny)
        memory["steps"] = _append(memory["steps"], valid.new_full((), step))[-window:]
        memory["losses"] = _append(memory["losses"], relative)[-window:]
        if self._looks >= self.options.warmup:
            slope = slopes(memory["steps"], memory["losses"])
            memory["slopes"] = _append(memory["slopes"], slope)[-window:]
            memory["worst"] = _append(memory["worst"], slope.max())
            formula = convergence_weights(memory["slopes"], memory["worst"], self.options.temperature)
            floor = self.options.floor
            memory["weights"] = (1 - floor) * formula + floor / len(self.tasks)

    def state_dict(self) -> dict[str, Any]:
        """The whole memory, and the number of looks."""
        return {**self.memory, "looks": self._looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.memory = {name: held for name, held in state.items() if name != "looks"}
        self._looks = state["looks"]


def slopes(steps: Tensor, losses: Tensor) -> Tensor:
    """Of the least-squares line of each task [tasks], through ``losses`` [n, tasks] at ``steps`` [n].

    NaN where a task has no loss: such points do not count. 0 for a task with fewer than two points.
    """
    there = torch.isfinite(losses)
    number = there.sum(0)
    times = torch.where(there, steps.unsqueeze(1), 0.0)
    values = torch.where(there, losses, 0.0)
    around = torch.where(there, times - times.sum(0) / number, 0.0)
    return torch.where(number > 1, (around * values).sum(0) / around.square().sum(0), 0.0)


def convergence_weights(history: Tensor, worst: Tensor, temperature: float) -> Tensor:
    """DF RCS + (1 - DF) ACS [tasks], which sums to 1.

    Args:
        history: slopes [n, tasks], the newest last.
        worst: the largest slope at each look [t], the newest last.
        temperature: tau.
    """
    newest = history[-1]
    relative = torch.softmax(len(newest) * _over(newest, newest.abs().sum()), dim=0)
    absolute = torch.softmax(-len(history) * _over(newest, history.abs().sum(0)), dim=0)
    sharpness = temperature * len(worst)
    divergence = torch.softmax(-sharpness * _over(worst, worst.abs().sum()), dim=0)[-1]
    factor = (len(worst) * divergence).clamp(max=1.0)
    return factor * relative + (1 - factor) * absolute


def _over(numbers: Tensor, total: Tensor) -> Tensor:
    """Their shares; 0 where nothing moved at all."""
    return numbers / total.clamp(min=torch.finfo(numbers.dtype).tiny)


def _append(history: Tensor, newest: Tensor) -> Tensor:
    return torch.cat([history, newest.unsqueeze(0)])
