"""The predicted losses of subsets of tasks, as affinity.json and the page have them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mftkit.base.json_types import JsonObject
    from mftkit.tools.affinity.agreement import Agreement
    from mftkit.tools.affinity.grouping import Grouping
    from mftkit.tools.affinity.subsets import Subset

    Floats = NDArray[np.float64]

NORMAL = 1.959964
"""Standard errors on each side of a 95% interval."""


@dataclass(frozen=True)
class Numbers:
    """Estimates with their standard errors, and normal intervals."""

    values: Floats
    errors: Floats

    @property
    def low(self) -> Floats:
        """Lower ends of the 95% intervals."""
        return self.values - NORMAL * self.errors

    @property
    def high(self) -> Floats:
        """Upper ends."""
        return self.values + NORMAL * self.errors


@dataclass(frozen=True)
class PredictionSettings:
    """The settings of the prediction."""

    parameters: str
    """The parameters whose gradients were taken, in words."""
    numbers: int
    """Number of these parameters."""
    projection: int
    """Numbers of a projected gradient."""
    train_samples: list[int]
    """Number of training samples of each task."""
    valid_samples: list[int]
    seed: int


@dataclass(frozen=True)
class GroupingResult:
    """A division of the tasks into groups, each trained by itself."""

    groups: Grouping
    loss: float
    """Mean over tasks of the predicted loss in the task's own group."""
    difference: Numbers
    """[1]: that loss minus the one of training all tasks together."""

    @property
    def is_beyond_noise(self) -> bool:
        """True if its predicted loss is lower than that of training all together, beyond noise."""
        return float(self.difference.high[0]) < 0


@dataclass(frozen=True)
class SubsetPrediction:
    """Predicted validation losses of training on subsets of tasks, in nats per token."""

    tasks: tuple[str, ...]
    subsets: list[Subset]
    before: Floats
    """[tasks]: loss of the validation samples at the weights where gradients were taken."""
    losses: Numbers
    """[subsets, tasks], of tasks outside of the subset, too."""
    change: Numbers
    """[subsets]: mean over a subset's tasks of their loss in it minus their loss alone."""
    affinity: Floats
    """[tasks, tasks]: mean predicted loss of the first task over the subsets that hold both."""
    groupings: list[GroupingResult]
    """The best of each number of groups, from one group."""
    ridge: float
    settings: PredictionSettings
    agreement: Agreement | None = None
    """With measured losses, if there are any."""

    @property
    def best(self) -> GroupingResult:
        """The grouping with the lowest predicted loss."""
        return min(self.groupings, key=lambda one: one.loss)

    @property
    def proposed(self) -> GroupingResult:
        """The best grouping if it is better than one group beyond noise, else the one group."""
        return self.best if self.best.is_beyond_noise else self.groupings[0]

    def names(self, grouping: Grouping) -> list[list[str]]:
        """The names of the tasks of each group."""
        return [[self.tasks[task] for task in group] for group in grouping]

    def to_json(self) -> JsonObject:
        """The section ``subsets`` of affinity.json."""
        low, high = self.losses.low, self.losses.high
        return {
            **asdict(self.settings),
            "ridge": self.ridge,
            "before": dict(zip(self.tasks, self.before.tolist(), strict=True)),
            "predicted": [
                {
                    "tasks": [self.tasks[task] for task in subset],
                    "losses": {
                        name: {
                            "loss": float(self.losses.values[row, task]),
                            "low": float(low[row, task]),
                            "high": float(high[row, task]),
                        }
                        for task, name in enumerate(self.tasks)
                    },
                    "change": _number(self.change, row),
                }
                for row, subset in enumerate(self.subsets)
            ],
            "affinity": self.affinity.tolist(),
            "groupings": [
                {
                    "groups": self.names(one.groups),
                    "loss": one.loss,
                    "difference": _number(one.difference, 0),
                }
                for one in self.groupings
            ],
            "proposed": self.names(self.proposed.groups),
            "measured": None if self.agreement is None else self.agreement.to_json(),
        }


def _number(numbers: Numbers, index: int) -> JsonObject:
    return {
        "value": float(numbers.values[index]),
        "low": float(numbers.low[index]),
        "high": float(numbers.high[index]),
    }
