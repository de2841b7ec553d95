"""Warmup, stable, decay (arXiv 2404.06395): the learning rate stays at its peak until the last part of a run."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

import mftkit


class WsdOptions(mftkit.Options):
    """Options of the decay."""

    decay: float = Field(default=0.2, gt=0)
    """Length of the decay: a share of all steps if less than 1, otherwise a number of steps."""
    shape: Literal["1-sqrt", "linear", "cosine"] = "1-sqrt"
    """How it falls: by 1 - the root of the done part (arXiv 2405.18392), in a straight line, or along half a cosine."""

    @field_validator("decay")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value >= 1 and not value.is_integer():
            raise ValueError("should be less than 1 (a share of all steps) or an integer number of steps")
        return value


class Wsd(mftkit.Schedule):
    """Stays at the peak after the warmup, and falls to the minimum in the last steps.

    A run that stopped before the decay can be made longer without a trace: the peak is the same for every end.
    """

    Options = WsdOptions
    options: WsdOptions

    def check(self, warmup: int, end: int) -> None:
        """Raise MftError if warmup and decay together are longer than the run."""
        steps = self._steps(end)
        rounding = 1 if self.options.decay < 1 else 0
        if warmup + steps > end + rounding:
            raise mftkit.MftError(
                f"training.scheduler.options.decay: {self.options.decay:g} is {steps} of the {end} steps, and the "
                f"warmup takes {warmup}: together they are longer than the run. Set a smaller one, or a shorter "
                "training.warmup."
            )

    def share(self, step: int, warmup: int, end: int) -> float:
        """Return 1, and from the decay's first step on what its shape leaves."""
        start = max(warmup, end - self._steps(end))
        if step <= start:
            return 1.0
        done = (step - start) / (end - start)
        if self.options.shape == "linear":
            return 1 - done
        return 1 - math.sqrt(done) if self.options.shape == "1-sqrt" else (1 + math.cos(math.pi * done)) / 2

    def _steps(self, end: int) -> int:
        """Return the steps of the decay."""
        decay = self.options.decay
        return math.ceil(round(decay * end, 6)) if decay < 1 else int(decay)
