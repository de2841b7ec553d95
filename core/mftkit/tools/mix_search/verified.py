"""Models that were trained with the proportions of candidates, beside what merging predicted."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.base.json_types import JsonObject
    from mftkit.tools.mix_search.shares import Shares

FEWEST = 3
"""Trained proportions below which ranks say nothing."""


@dataclass(frozen=True)
class VerifiedMixing:
    """Proportions that were trained."""

    name: str
    shares: Shares
    predicted: dict[str, float]
    """Task to the value of the merged model."""
    measured: dict[str, float]
    """Task to the value of the trained model, mean over seeds."""
    predicted_score: float
    measured_by_seed: list[float]
    """What candidates are ranked by, of each seed's trained model."""
    runs: list[str]

    @property
    def measured_score(self) -> float:
        """The mean over seeds."""
        return fmean(self.measured_by_seed)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds; None for one seed."""
        return stdev(self.measured_by_seed) if len(self.measured_by_seed) > 1 else None

    def to_json(self, tasks: Sequence[str]) -> JsonObject:
        """As mix.json has it."""
        return {
            "name": self.name,
            "proportions": dict(zip(tasks, self.shares, strict=True)),
            "predicted": self.predicted,
            "measured": self.measured,
            "predicted_value": self.predicted_score,
            "measured_value": self.measured_score,
            "measured_by_seed": self.measured_by_seed,
            "runs": self.runs,
        }


@dataclass(frozen=True)
class VerifiedMixings:
    """All proportions that were trained."""

    mixings: list[VerifiedMixing]

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's, between predicted and measured values; None for fewer than three models, or if all are equal."""
        return spearman(
            [one.predicted_score for one in self.mixings], [one.measured_score for one in self.mixings]
        )

    def of_task(self, task: str) -> float | None:
        """As ``rank_correlation``, for one task."""
        return spearman(
            [one.predicted[task] for one in self.mixings], [one.measured[task] for one in self.mixings]
        )

    def to_json(self, tasks: Sequence[str]) -> JsonObject:
        """As mix.json has it."""
        measured = self.mixings[0].measured if self.mixings else {}
        return {
            "mixings": [one.to_json(tasks) for one in self.mixings],
            "rank_correlation": self.rank_correlation,
            "rank_correlation_by_task": {task: self.of_task(task) for task in measured},
        }


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation, equal values sharing the mean of their ranks; None where it is not defined.

    >>> spearman([1, 2, 3, 4], [10, 20, 40, 30])
    0.8
    """
    if len(one) < FEWEST:
        return None
    ranks = np.stack([_ranks(one), _ranks(other)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((centred**2).sum(axis=1).prod()))
    return None if scale == 0 else round(float((centred[0] * centred[1]).sum()) / scale, 12)


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    given = np.asarray(values, dtype=np.float64)
    below = (given[None, :] < given[:, None]).sum(axis=1)
    equal = (given[None, :] == given[:, None]).sum(axis=1)
    return np.asarray(below + (equal + 1) / 2, dtype=np.float64)
