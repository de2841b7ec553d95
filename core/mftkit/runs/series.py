"""Series of numbers over steps, and what a run came to, from the lines of its metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.runs.record import RunRecord

MOST_POINTS = 1500
"""Of one curve; a page with more would be slow on a phone."""


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
    """Of the best, among validations after a step where there are any."""
    last: float

    @property
    def perplexity(self) -> float:
        """Of the best."""
        return math.exp(self.best) if self.best < 700 else math.inf


def thinned(lines: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """At most MOST_POINTS lines, the first and the last among them, and the stride: every how-many-th it is."""
    stride = max(1, math.ceil(len(lines) / MOST_POINTS))
    kept = list(lines[::stride])
    if lines and kept[-1] is not lines[-1]:
        kept.append(lines[-1])
    return kept, stride


def curve(lines: Sequence[dict[str, Any]], number: Callable[[dict[str, Any]], Any]) -> Series:
    """A number of each line over the step."""
    return Series([line["step"] for line in lines], [_finite(number(line)) for line in lines])


def of_task(lines: Sequence[dict[str, Any]], task: str, key: str) -> Series:
    """A task's number over the step."""
    return curve(lines, lambda line: line["tasks"].get(task, {}).get(key))


def summed(lines: Sequence[dict[str, Any]], task: str, key: str) -> Series:
    """A task's number, added up from the start, over the step; all lines are wanted, not thinned ones."""
    total, values = 0.0, []
    for line in lines:
        total += line["tasks"].get(task, {}).get(key) or 0
        values.append(total)
    return Series([line["step"] for line in lines], list(values))


def validation_losses(run: RunRecord) -> list[Losses]:
    """What each task came to, in the run's order, then the mean over tasks."""
    named = [(task, of_task(run.valid, task, "loss")) for task in run.tasks]
    if len(named) > 1:
        named.append(("mean of tasks", curve(run.valid, lambda line: line["loss"])))
    return [found for name, series in named if (found := _losses(name, series)) is not None]


def _losses(name: str, series: Series) -> Losses | None:
    points = [(y, int(x)) for x, y in zip(series.x, series.y, strict=True) if y is not None]
    if not points:
        return None
    trained = [point for point in points if point[1] > 0] or points
    best, step = min(trained)
    return Losses(name, points[0][0], best, step, points[-1][0])


def _finite(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
