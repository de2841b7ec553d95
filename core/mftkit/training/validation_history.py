"""How a run stands after its validations: which steps are the best, which tasks gain no more, whether to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mftkit.spec import EarlyStoppingSpec


@dataclass
class ValidationHistory:
    """All validations of a run so far. What is asked of it follows from them alone."""

    steps: list[int] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    """[validations][tasks] nats per token; NaN for a task without validation samples."""

    def add(self, step: int, losses: Sequence[float]) -> None:
        """A validation."""
        self.steps.append(step)
        self.losses.append([float(loss) for loss in losses])  # plain numbers: what a checkpoint reads

    @property
    def best_step(self) -> int | None:
        """The step of the lowest mean over tasks; None before the first step's."""
        return self._best(self._table().mean(1)) if self._trained() else None

    def best_steps(self) -> dict[int, int]:
        """The step of each task's lowest loss, by the task's index."""
        if not self._trained():
            return {}
        table = self._table()
        best = {index: self._best(table[:, column]) for column, index in enumerate(self._validated())}
        return {index: step for index, step in best.items() if step is not None}

    def best_by_rank(self, among: Iterable[int]) -> int | None:
        """Of the steps ``among`` that were validated, that of the lowest mean rank over tasks.

        A task ranks all trained validations by its own loss, equal ones by the mean of their places; of
        equal mean ranks the lower mean loss counts, then the earlier step.
        """
        trained = self._trained()
        table = self._table()[trained]
        places = (table[:, None] > table[None]).sum(1) + ((table[:, None] == table[None]).sum(1) + 1) / 2
        wanted = set(among)
        ranked = [
            (float(rank), float(mean), self.steps[i])
            for i, rank, mean in zip(trained, places.mean(1), table.mean(1), strict=True)
            if self.steps[i] in wanted
        ]
        return min(ranked)[2] if ranked else None

    def stopped(self, stopping: EarlyStoppingSpec | None, names: Sequence[str]) -> list[int]:
        """The tasks, by index, that no longer train; none unless each task is stopped by itself.

        A task stays stopped, even if the others' training makes it better again.
        """
        if stopping is None or stopping.criterion != "each":
            return []
        table = np.array(self.losses)
        return [i for i in self._watched(stopping, names) if self._ever_out(table[:, i], stopping.patience)]

    def is_over(self, stopping: EarlyStoppingSpec | None, names: Sequence[str]) -> bool:
        """Whether the run should stop."""
        if stopping is None or not self.losses:
            return False
        watched = self._watched(stopping, names)
        table = np.array(self.losses)[:, watched]
        if stopping.criterion == "mean":
            return self._without_gain(table.mean(1)) >= stopping.patience
        if stopping.criterion == "each":
            return len(self.stopped(stopping, names)) == len(watched)
        return all(self._without_gain(column) >= stopping.patience for column in table.T)

    def _watched(self, stopping: EarlyStoppingSpec, names: Sequence[str]) -> list[int]:
        named = [names.index(name) for name in stopping.tasks or names]
        return [index for index in named if index in self._validated()]

    def _validated(self) -> list[int]:
        """Tasks with validation samples."""
        return [int(i) for i in np.flatnonzero(~np.isnan(self.losses[0]))] if self.losses else []

    def _table(self) -> NDArray[np.float64]:
        return np.array(self.losses, np.float64)[:, self._validated()]

    def _trained(self) -> list[int]:
        """Validations after a step: an untrained model is no result."""
        return [i for i, step in enumerate(self.steps) if step > 0]

    def _best(self, series: NDArray[np.float64]) -> int | None:
        return min((float(series[i]), self.steps[i]) for i in self._trained())[1]

    @staticmethod
    def _without_gain(series: NDArray[np.float64]) -> int:
        """Validations since the best."""
        return len(series) - 1 - int(series.argmin())

    def _ever_out(self, series: NDArray[np.float64], patience: int) -> bool:
        return any(self._without_gain(series[:end]) >= patience for end in range(1, len(series) + 1))
