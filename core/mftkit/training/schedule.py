"""The learning rate as a function of the step, also of a run that is made longer or shorter on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypedDict

from mftkit.plugins import installed, kinds
from mftkit.plugins.ownership import plugin_suffix
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.schedule import Schedule
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import TrainingSpec


class ScheduleState(TypedDict):
    """The schedule in a checkpoint."""

    warmup: int
    end: int


@dataclass(frozen=True)
class RunSchedule:
    """Linear warmup to the peak, then the shape of the spec's schedule, down to the minimum or not."""

    warmup: int
    """Steps of the warmup."""
    end: int
    """The step at which the schedule ends; it is not less than the run's unless it is held."""
    shape: Schedule = field(compare=False)

    @classmethod
    def of(cls, training: TrainingSpec, total: int) -> RunSchedule:
        """The schedule of a run of ``total`` steps from its start."""
        shape = installed.build(kinds.SCHEDULE, training.scheduler.name, training.scheduler.options)
        return cls(warmup_steps(training.warmup, total), total, shape)

    def rate(self, step: int, training: TrainingSpec) -> float:
        """The learning rate of ``step`` (from 1); after the end that of the end."""
        step = min(step, self.end)
        peak, minimum = training.peak_learning_rate, training.min_learning_rate
        if step <= self.warmup:
            return peak * step / self.warmup
        share = self.shape.share(step, self.warmup, self.end)
        if not 0 <= share <= 1:
            raise MftError(
                f"training.scheduler: {training.scheduler.name} returns {share!r} for step {step}, which is not from 0 "
                f"to 1. Fix the plugin{plugin_suffix(self.shape)}."
            )
        return peak if share == 1 else minimum + (peak - minimum) * share


def check_schedule(training: TrainingSpec, total: int, reporter: Reporter) -> None:
    """Report settings of the learning rate that do not have the effect that one would expect.

    Raises:
        MftError: the schedule's options do not fit the length of the run.
    """
    schedule = RunSchedule.of(training, total)
    schedule.shape.check(schedule.warmup, total)
    if schedule.warmup >= total:
        if total > 1:
            reporter.warn(
                f"training.warmup: {training.warmup:g} lasts to the end of the run ({total} steps), so the learning "
                "rate never falls"
            )
    elif training.min_learning_rate and schedule.shape.share(total, schedule.warmup, total) == 1:
        name = training.scheduler.name
        reporter.note(f'training.min_learning_rate has no effect with scheduler "{name}"')


def warmup_steps(warmup: float, total: int) -> int:
    """The steps of the warmup: a ``warmup`` below 1 is a share of all steps, any other a number of steps.

    >>> warmup_steps(0.05, 200), warmup_steps(30, 200)
    (10, 30)
    """
    return math.ceil(round(warmup * total, 6)) if warmup < 1 else int(warmup)


@dataclass(frozen=True)
class Extension:
    """A run that ends at another step than before: longer or, if it has not got that far, shorter."""

    end_before: int
    end: int
    way: Literal["stretch", "hold"]
    schedule: RunSchedule
    """From now on."""
    rate_before: float
    """The learning rate of the last step that was made, by the schedule before; 0 if none was made."""
    rate: float
    """That of the next step."""

    def __str__(self) -> str:
        how = (
            "stretched to the new end"
            if self.way == "stretch"
            else f"kept, and held from step {self.schedule.end}"
        )
        rates = f"learning rate {self.rate_before:.4g}, then {self.rate:.4g}"
        return f"the run ends at step {self.end} instead of {self.end_before}; schedule {how} ({rates})"

    def dump(self) -> JsonObject:
        """As environment.json has it."""
        return {
            "end_before": self.end_before,
            "end": self.end,
            "schedule": self.way,
            "learning_rate_before": self.rate_before,
            "learning_rate": self.rate,
        }


def extend(before: RunSchedule, end_before: int, end: int, step: int, training: TrainingSpec) -> Extension:
    """Make a run that has made ``step`` steps end at step ``end``.

    The warmup keeps its length in steps: it does not begin again.

    Raises:
        MftError: the learning rate would be held at 0, or the schedule's options do not fit the new length.
    """
    way = training.extension
    schedule = replace(before, end=end) if way == "stretch" else before
    schedule.shape.check(schedule.warmup, schedule.end)
    if way == "hold" and end > before.end and before.rate(before.end, training) == 0:
        raise MftError(
            f'training.extension: "hold" would train at learning rate 0, at which the schedule ended at step '
            f'{before.end} (training.min_learning_rate is 0). Use "stretch", or start a new run from the result.'
        )
    rate_before = before.rate(step, training) if step else 0.0
    return Extension(end_before, end, way, schedule, rate_before, schedule.rate(step + 1, training))
