"""Series of numbers over steps, and the losses of a run, from the lines of its metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mftkit.reporting.lines import TrainLine, ValidLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.reporting.lines import TaskTraining

L = TypeVar("L", TrainLine, ValidLine)
T = TypeVar("T")

MEAN = "mean of tasks"
MOST_POINTS = 1500
"""Points of one curve at most; a page with more would be slow on a phone."""


@dataclass(frozen=True)
class Series:
    """One curve: ``y`` None where the run has no number."""

    x: list[float]
    y: list[float | None]


@dataclass(frozen=True)
class Losses:
    """Validation losses of one task, or of the mean over tasks, in nats per token."""

    name: str
    first: float
    best: float
    step: int
    """The step of the best, among validations after a step where there are any."""
    last: float


@dataclass(frozen=True)
class BestStep:
    """The validation with the lowest mean over tasks."""

    step: int
    loss: float


def best_of_mean(lines: Sequence[ValidLine]) -> BestStep | None:
    """The step that ``model/`` is from: the lowest mean loss after a step, the earlier of equal ones.

    None if no trained model was validated.
    """
    trained = [(line.loss, line.step) for line in lines if line.step > 0 and line.loss is not None]
    if not trained:
        return None
    loss, step = min(trained)
    return BestStep(step, loss)


def thinned(lines: Sequence[T]) -> tuple[list[T], int]:
    """At most MOST_POINTS lines, the first and the last among them, and the stride: every how-many-th it is."""
    stride = max(1, math.ceil(len(lines) / MOST_POINTS))
    kept = list(lines[::stride])
    if lines and kept[-1] is not lines[-1]:
        kept.append(lines[-1])
    return kept, stride


def curve(lines: Sequence[L], number: Callable[[L], float | None]) -> Series:
    """A number of each line over the step."""
    return Series([line.step for line in lines], [number(line) for line in lines])


def losses_of_task(lines: Sequence[TrainLine] | Sequence[ValidLine], task: str) -> Series:
    """A task's loss over the step."""
    found = [line.tasks.get(task) for line in lines]
    return Series([line.step for line in lines], [None if each is None else each.loss for each in found])


def weights_of_task(lines: Sequence[TrainLine], task: str) -> Series:
    """A task's weight over the step."""
    return curve(lines, lambda line: line.tasks[task].weight if task in line.tasks else None)


def summed(lines: Sequence[TrainLine], task: str, number: Callable[[TaskTraining], int]) -> Series:
    """A task's number, added up from the start, over the step; needs all lines, not thinned ones."""
    total, values = 0, list[float | None]()
    for line in lines:
        total += number(line.tasks[task]) if task in line.tasks else 0
        values.append(total)
    return Series([line.step for line in lines], values)


def validation_losses(lines: Sequence[ValidLine], tasks: Sequence[str]) -> list[Losses]:
    """The losses of each task, then, if there are several, those of the mean over tasks.

    The model before the first step counts as the best only if there is no other validation.
    """
    named = [(task, losses_of_task(lines, task)) for task in tasks]
    if len(named) > 1:
        named.append((MEAN, curve(lines, lambda line: line.loss)))
    return [found for name, series in named if (found := _losses(name, series)) is not None]


def _losses(name: str, series: Series) -> Losses | None:
    points = [(y, int(x)) for x, y in zip(series.x, series.y, strict=True) if y is not None]
    if not points:
        return None
    trained = [point for point in points if point[1] > 0] or points
    best, step = min(trained)
    return Losses(name, points[0][0], best, step, points[-1][0])
