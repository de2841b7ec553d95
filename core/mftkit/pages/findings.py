"""The finding on each task of a run: whether its validation loss still falls, is level or rises beyond noise.

docs/reports.md describes the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mftkit.base.formatting import whole
from mftkit.pages.trend import DEVIATIONS, TOKEN_VARIANCE, noise, trend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.reporting.lines import TrainLine, ValidLine

State = Literal["falls", "overfits", "rises", "level", "no gain", "once", "untrained", "none"]
LATE = 2 / 3
"""A task still falls if its loss fell beyond noise after this share of the run."""


@dataclass(frozen=True)
class Finding:
    """What the numbers of one task support."""

    task: str
    state: State
    noise: float = math.inf
    """Differences between two validations up to this many nats are noise."""
    tokens: int = 0
    """Loss tokens of its validation set; 0 if not known."""
    best: float = math.nan
    """Its lowest validation loss after a step."""
    best_step: int = 0
    last: float = math.nan
    since: int = 0
    """The step from which it is level, overfits or rises, or with which "falls" compares the last one."""
    before: float = math.nan
    """Its validation loss at that step."""
    training: tuple[float, float] | None = None
    """Its training loss before and after a rise; None if it has none."""

    @property
    def short(self) -> str:
        """The finding in a few words."""
        return {
            "falls": "still falls",
            "overfits": f"overfits since step {whole(self.since)}",
            "rises": f"rises since step {whole(self.since)}",
            "level": f"level since step {whole(self.since)}",
            "no gain": "no gain beyond noise",
            "once": "validated once",
            "untrained": "validated only before training",
            "none": "no validation",
        }[self.state]


@dataclass(frozen=True)
class _Point:
    step: int
    loss: float


def finding(task: str, train: Sequence[TrainLine], valid: Sequence[ValidLine]) -> Finding:
    """The finding on one task, from all lines of a run."""
    found = [(line.step, line.tasks[task]) for line in valid if task in line.tasks]
    points = [_Point(step, each.loss) for step, each in found if each.loss is not None]
    trained = [point for point in points if point.step > 0]
    if not trained:
        return Finding(task, "untrained" if points else "none")
    course = trend([point.loss for point in points])
    best = min(trained, key=lambda point: (point.loss, point.step))
    tokens = next((each.tokens for _, each in reversed(found) if each.tokens), 0)
    limit = noise(course.scatter, len(points), best.loss, tokens)

    def made(state: State, since: _Point, training: tuple[float, float] | None = None) -> Finding:
        last = points[-1].loss
        return Finding(
            task, state, limit, tokens, best.loss, best.step, last, since.step, since.loss, training
        )

    last, fit = points[-1], course.fit
    lowest = min(points, key=lambda point: (point.loss, point.step))  # perhaps before training
    if min(last.loss - lowest.loss, fit[-1] - min(fit)) > limit:
        training = _training(task, train, lowest.step, last.step)
        return made("overfits" if training and _falls(*training) else "rises", lowest, _means(training))
    if points[0].step == 0 and points[0].loss - best.loss <= limit:
        return made("no gain", points[0])
    if len(trained) == 1:
        return made("once", points[0])
    reference = _reference(points, trained)
    if min(points[reference].loss - last.loss, fit[reference] - fit[-1]) > limit:
        return made("falls", points[reference])
    level = next(i for i, each in enumerate(fit) if each <= min(fit) + limit)
    return made("level", points[level])


def _reference(points: Sequence[_Point], trained: Sequence[_Point]) -> int:
    """The index of the last validation in the first part of the run, or else of the first after a step."""
    early = [point for point in trained[:-1] if point.step <= LATE * points[-1].step]
    return points.index(early[-1] if early else trained[0])


@dataclass(frozen=True)
class _Mean:
    loss: float
    tokens: int


def _training(task: str, train: Sequence[TrainLine], start: int, end: int) -> tuple[_Mean, _Mean] | None:
    """Mean training losses before ``start`` and before ``end``, each over half of the steps between them.

    A ``start`` at which nothing was trained yet: over the first and the second half of these steps.
    """
    half = (end - start) / 2
    early = _mean(task, train, start - half, start) or _mean(task, train, start, start + half)
    late = _mean(task, train, end - half, end)
    return None if early is None or late is None else (early, late)


def _mean(task: str, train: Sequence[TrainLine], after: float, until: float) -> _Mean | None:
    lines = [line.tasks[task] for line in train if after < line.step <= until and task in line.tasks]
    counted = [(each.loss, each.tokens) for each in lines if each.loss is not None and each.tokens]
    tokens = sum(count for _, count in counted)
    return _Mean(sum(loss * count for loss, count in counted) / tokens, tokens) if tokens else None


def _falls(early: _Mean, late: _Mean) -> bool:
    """Whether a training loss fell by more than the noise of two different sets of tokens."""
    variance = min(TOKEN_VARIANCE, max(late.loss, 0.0)) * (1 / early.tokens + 1 / late.tokens)
    return early.loss - late.loss > DEVIATIONS * math.sqrt(variance)


def _means(training: tuple[_Mean, _Mean] | None) -> tuple[float, float] | None:
    return None if training is None else (training[0].loss, training[1].loss)
