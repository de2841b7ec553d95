"""Shares from a multi-armed bandit on validation gain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

import mftkit
from mftkit_plugins.mixers.sizes import by_temperature

if TYPE_CHECKING:
    from collections.abc import Sequence


class BanditOptions(mftkit.Options):
    """Options of the bandit."""

    every: int = Field(default=20, ge=1)
    """Number of steps between two decisions."""
    samples: int = Field(default=8, ge=1)
    """Number of validation samples per task in the mini-batch that gives the rewards."""
    prior_temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """The original proportions: sizes to the power of 1 / prior_temperature; 1 keeps the sizes."""
    by: Literal["samples", "tokens"] = "samples"
    """Unit of the original proportions: samples or loss tokens."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How far the shares may move from the original proportions: a task's share is multiplied by at most
    exp(1 / temperature), and divided by at most that, before all are divided by their sum."""
    step_size: float = Field(default=0.3, gt=0, le=1)
    """Weight of the newest reward in a task's value; 1: only the newest."""
    exploration: float = Field(default=0.1, ge=0, le=1)
    """Part of the shares that always has the original proportions."""


class Bandit(mftkit.Mixer):
    """p_i = (1 - e) p0_i exp(q_i / T) / Z + e p0_i with q_i = Q_i / max_j |Q_j| and
    Q_i <- (1 - a) Q_i + a (before_i - after_i) / before_i, after each interval.

    After DynamixSFT (Shin et al., arXiv 2508.12116): tasks are the arms of a bandit, and Boltzmann exploration is
    scaled by the original proportions p0, so that a task keeps its part in the diversity of the data. It follows the
    paper's idea, not its code. The paper's reward is a one-step look-ahead: how much a task's data would improve the
    model now. Here it is the relative decrease of the task's validation loss over an interval of ordinary training: two
    passes over a validation mini-batch per interval, but a task is credited with what the others gave it.
    Values are divided by the largest, because rewards become small as a run proceeds. Nothing is drawn at random: the
    shares themselves are the counts of the next interval. Q is 0 at the start, so the first interval has p0.
    """

    changes = True

    Options = BanditOptions
    options: BanditOptions

    def __init__(self, options: BanditOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.interval = options.every
        self.validation_samples = options.samples
        self.values = [0.0] * len(tasks)
        """Q [tasks]."""

    def shares(self) -> list[float]:
        """Return p [tasks], which sums to 1."""
        sizes = by_temperature(self.tasks, self.options.prior_temperature, self.options.by).tolist()
        prior = [size / math.fsum(sizes) for size in sizes]
        largest = max(map(abs, self.values)) or 1.0
        # exp of at most 0: no temperature, however low, overflows.
        exponents = [value / largest / self.options.temperature for value in self.values]
        highest = max(exponents)
        scaled = [p * math.exp(x - highest) for p, x in zip(prior, exponents, strict=True)]
        total, explored = math.fsum(scaled), self.options.exploration
        return [(1 - explored) * s / total + explored * p for s, p in zip(scaled, prior, strict=True)]

    def observe(self, step: int, before: Sequence[float] | None, after: Sequence[float] | None) -> None:  # noqa: ARG002
        """Move each task's value towards its reward; a task without a finite one keeps its value."""
        if before is None or after is None:
            return
        a = self.options.step_size
        for task, (old, new) in enumerate(zip(before, after, strict=True)):
            reward = (old - new) / old if old else 0.0
            if math.isfinite(reward):
                self.values[task] = (1 - a) * self.values[task] + a * reward

    def state_dict(self) -> dict[str, Any]:
        """Return Q."""
        return {"values": list(self.values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore Q."""
        self.values = list(state["values"])
