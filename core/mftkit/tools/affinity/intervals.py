"""From cosines over batches to means, confidence intervals and verdicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit.base.json_types import JsonObject
    from mftkit.tools.affinity.prediction_result import SubsetPrediction

    Floats = NDArray[np.float64]

Verdict = Literal["help", "fight", "not distinguishable"]
CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Settings:
    """The settings of the measurement, as affinity.json has them."""

    name: str
    """The run's name."""
    loss: str
    state: str
    """The checkpoint, or that the model is as the spec starts it."""
    parameters: str
    """The parameters whose gradients were compared, in words."""
    numbers: int
    """Number of these parameters."""
    batches: int
    samples: int
    seed: int


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
        """The verdict of the interval: "help" if it lies above 0, "fight" if it lies below."""
        if self.low > 0:
            return "help"
        return "fight" if self.high < 0 else "not distinguishable"

    def to_json(self) -> JsonObject:
        """The pair as affinity.json has it."""
        return {
            "tasks": [self.first, self.second],
            "cosine": self.cosine,
            "low": self.low,
            "high": self.high,
            "verdict": self.verdict,
        }


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
    settings: Settings
    subsets: SubsetPrediction | None = None
    """What training on subsets of the tasks would give, if that was asked for."""

    @property
    def pairs(self) -> list[Pair]:
        """Every two tasks, from those that fight most to those that help most."""
        found = [self._pair(i, j) for i in range(len(self.tasks)) for j in range(i + 1, len(self.tasks))]
        return sorted(found, key=lambda pair: pair.cosine)

    @property
    def selves(self) -> list[Pair]:
        """Each task with itself."""
        return [self._pair(i, i) for i in range(len(self.tasks))]

    def _pair(self, i: int, j: int) -> Pair:
        numbers = (float(table[i, j]) for table in (self.cosine, self.low, self.high))
        return Pair(self.tasks[i], self.tasks[j], *numbers)

    def to_json(self) -> JsonObject:
        """The whole of affinity.json."""
        return {
            **asdict(self.settings),
            "confidence": CONFIDENCE,
            "tasks": list(self.tasks),
            "cosine": self.cosine.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "pairs": [pair.to_json() for pair in self.pairs],
            **({} if self.subsets is None else {"subsets": self.subsets.to_json()}),
        }


def summarize(tasks: tuple[str, ...], cosines: Floats, seed: int, settings: Settings) -> Affinity:
    """Means over batches of ``cosines`` [batches, tasks, tasks], with percentile bootstrap intervals.

    Batches are resampled with replacement, ``RESAMPLES`` times (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13); an interval holds the middle ``CONFIDENCE`` of the means.
    """
    random = np.random.default_rng(seed)
    count = len(cosines)
    means = np.empty((RESAMPLES, *cosines.shape[1:]))
    for number in range(RESAMPLES):
        means[number] = cosines[random.integers(0, count, count)].mean(0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return Affinity(tasks, cosines.mean(0), low, high, settings)
