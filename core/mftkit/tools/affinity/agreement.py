"""How far predicted losses order subsets as measured ones do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.affinity.rank_correlation import interval, kendall, p_value, spearman

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.base.json_types import JsonObject
    from mftkit.tools.affinity.measured import MeasuredLoss
    from mftkit.tools.affinity.subsets import Subset

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Rank correlations over points; numbers are NaN where there are too few points for them."""

    points: int
    spearman: float
    low: float
    """Of the 95% bootstrap interval of Spearman's correlation."""
    high: float
    kendall: float
    p: float
    """One-sided, by rearranging each task's measured losses among its subsets."""

    def to_json(self) -> JsonObject:
        """The correlation as affinity.json has it, with null for NaN."""
        return {
            key: None if isinstance(value, float) and np.isnan(value) else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Point:
    """One task in one subset."""

    subset: tuple[str, ...]
    task: str
    predicted: float
    measured: float
    runs: int
    steps: float


@dataclass(frozen=True)
class Agreement:
    """Predicted and measured losses of the same subsets."""

    points: list[Point]
    seed: int

    @cached_property
    def overall(self) -> Correlation:
        """Over all points. Tasks differ in their losses, so it is high even if no subset is predicted."""
        return self._correlation(self.points, self._predicted(self.points), self._measured(self.points))

    @cached_property
    def within(self) -> Correlation:
        """Over differences from a task's mean over its subsets: what a choice of subsets rests on."""
        points = self._repeated
        return self._correlation(
            points, _centered(points, self._predicted(points)), _centered(points, self._measured(points))
        )

    @cached_property
    def by_steps(self) -> Correlation:
        """As ``within``, of minus the number of steps instead of the prediction: what longer training explains."""
        points = self._repeated
        steps = np.array([-point.steps for point in points])
        return self._correlation(points, _centered(points, steps), _centered(points, self._measured(points)))

    @cached_property
    def ordered_alike(self) -> tuple[int, int]:
        """Pairs of subsets of the same task that are predicted in their measured order, and all such pairs."""
        alike = pairs = 0
        for number, one in enumerate(self.points):
            for other in self.points[:number]:
                if one.task == other.task and one.measured != other.measured:
                    pairs += 1
                    alike += (one.predicted - other.predicted) * (one.measured - other.measured) > 0
        return alike, pairs

    @property
    def _repeated(self) -> list[Point]:
        """The points of tasks with several subsets."""
        names = [point.task for point in self.points]
        return [point for point in self.points if names.count(point.task) > 1]

    def _correlation(self, points: Sequence[Point], predicted: Floats, measured: Floats) -> Correlation:
        if len(points) < 3:
            nan = float("nan")
            return Correlation(len(points), nan, nan, nan, nan, nan)
        block = np.unique([point.task for point in points], return_inverse=True)[1]
        return Correlation(
            len(points),
            spearman(predicted, measured),
            *interval(spearman, predicted, measured, self.seed),
            kendall(predicted, measured),
            p_value(spearman, predicted, measured, block, self.seed),
        )

    @staticmethod
    def _predicted(points: Sequence[Point]) -> Floats:
        return np.array([point.predicted for point in points])

    @staticmethod
    def _measured(points: Sequence[Point]) -> Floats:
        return np.array([point.measured for point in points])

    def to_json(self) -> JsonObject:
        """The section ``measured`` of affinity.json."""
        alike, pairs = self.ordered_alike
        return {
            "points": [{**asdict(point), "subset": list(point.subset)} for point in self.points],
            "within_tasks": self.within.to_json(),
            "by_steps_alone": self.by_steps.to_json(),
            "all_points": self.overall.to_json(),
            "ordered_alike": alike,
            "pairs": pairs,
        }


def agreement(
    tasks: Sequence[str],
    subsets: Sequence[Subset],
    losses: Floats,
    measured: Sequence[MeasuredLoss],
    seed: int,
) -> Agreement:
    """Predicted ``losses`` [subsets, tasks] beside the measured ones, whose subsets are among ``subsets``."""
    rows = {subset: row for row, subset in enumerate(subsets)}
    points = [
        Point(
            tuple(tasks[task] for task in one.subset),
            tasks[one.task],
            float(losses[rows[one.subset], one.task]),
            one.loss,
            one.runs,
            one.steps,
        )
        for one in measured
    ]
    return Agreement(points, seed)


def _centered(points: Sequence[Point], values: Floats) -> Floats:
    """Values without the mean of their task."""
    task = np.unique([point.task for point in points], return_inverse=True)[1]
    if not len(values):
        return values
    means = np.bincount(task, values) / np.maximum(np.bincount(task), 1)
    return np.round(values - means[task], 12)  # so that rounding does not order equal differences
