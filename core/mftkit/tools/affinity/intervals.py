"""From cosines over batches to means, confidence intervals and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Verdict = Literal["help", "fight", "not distinguishable"]
CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """Two tasks."""

    first: str
    second: str
    cosine: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """What the interval says: "help" where it lies above 0, "fight" where it lies below."""
        if self.low > 0:
            return "help"
        return "fight" if self.high < 0 else "not distinguishable"


@dataclass(frozen=True)
class Affinity:
    """Cosines between tasks; on the diagonal those of a task with itself, over other samples."""

    tasks: tuple[str, ...]
    cosine: Floats
    """[tasks, tasks], the mean over batches."""
    low: Floats
    """[tasks, tasks], the lower end of the interval."""
    high: Floats
    """[tasks, tasks], the upper end."""
    settings: dict[str, Any]
    """How it was measured."""

    @property
    def pairs(self) -> list[Pair]:
        """Each two tasks, from those that fight most to those that help most."""
        found = [self._pair(i, j) for i in range(len(self.tasks)) for j in range(i + 1, len(self.tasks))]
        return sorted(found, key=lambda pair: pair.cosine)

    @property
    def selves(self) -> list[Pair]:
        """Each task with itself."""
        return [self._pair(i, i) for i in range(len(self.tasks))]

    def _pair(self, i: int, j: int) -> Pair:
        numbers = (float(table[i, j]) for table in (self.cosine, self.low, self.high))
        return Pair(self.tasks[i], self.tasks[j], *numbers)

    def as_json(self) -> dict[str, Any]:
        """What affinity.json holds."""
        return {
            **self.settings,
            "confidence": CONFIDENCE,
            "tasks": list(self.tasks),
            "cosine": self.cosine.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "pairs": [
                {
                    "tasks": [pair.first, pair.second],
                    "cosine": pair.cosine,
                    "low": pair.low,
                    "high": pair.high,
                    "verdict": pair.verdict,
                }
                for pair in self.pairs
            ],
        }


def summarise(tasks: tuple[str, ...], cosines: Floats, seed: int, settings: dict[str, Any]) -> Affinity:
    """Means over batches of ``cosines`` [batches, tasks, tasks], with percentile bootstrap intervals.

    Batches are drawn again with replacement, ``RESAMPLES`` times (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13); an interval holds the middle ``CONFIDENCE`` of the means.
    """
    drawn = np.random.default_rng(seed)
    count = len(cosines)
    means = np.empty((RESAMPLES, *cosines.shape[1:]))
    for number in range(RESAMPLES):
        means[number] = cosines[drawn.integers(0, count, count)].mean(0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return Affinity(tasks, cosines.mean(0), low, high, settings)
