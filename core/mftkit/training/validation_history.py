"""The validations of a run so far, and what follows from them: best steps, stopped tasks, the end of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mftkit.spec import EarlyStoppingSpec


class ValidationHistoryState(TypedDict):
    """The part of a checkpoint from which all else follows."""

    steps: list[int]
    losses: list[list[float]]


class ValidationHistory:
    """All validations of a run so far; the only place that knows what early stopping has stopped."""

    def __init__(
        self, task_names: Sequence[str] = (), early_stopping: EarlyStoppingSpec | None = None
    ) -> None:
        self._task_names = list(task_names)
        self._early_stopping = early_stopping
        self.steps: list[int] = []
        self.losses: list[list[float]] = []
        """[validations][tasks] nats per token; NaN for a task without validation samples."""
        self.stopped_tasks: list[int] = []
        """Tasks, by index, that no longer train; empty unless each task is stopped by itself.

        A task stays stopped, even if the others' training makes it better again.
        """
        self.is_over = False
        """Whether early stopping ends the run."""

    def add(self, step: int, losses: Sequence[float]) -> list[int]:
        """Add a validation; returns the tasks that it has stopped."""
        before = self.stopped_tasks
        self.steps.append(step)
        self.losses.append([float(loss) for loss in losses])  # plain numbers: what a checkpoint can hold
        self._apply_early_stopping()
        return [task for task in self.stopped_tasks if task not in before]

    def reopen(self) -> None:
        """Let training continue after early stopping has ended it, until the next validation decides again."""
        self.is_over = False

    @property
    def best_step(self) -> int | None:
        """The step of the lowest mean over tasks; None before a validation of a trained model."""
        return self._best(self._table().mean(1)) if self._trained() else None

    def best_steps(self) -> dict[int, int]:
        """The step of each task's lowest loss, by the task's index."""
        if not self._trained():
            return {}
        table = self._table()
        best = {index: self._best(table[:, column]) for column, index in enumerate(self._validated())}
        return {index: step for index, step in best.items() if step is not None}

    def best_by_rank(self, among: Iterable[int]) -> int | None:
        """The validated step ``among`` those given that has the lowest mean rank over tasks.

        Each task ranks all validations of a trained model by its own loss, with equal ones at the mean of their
        places. Among equal mean ranks the lower mean loss decides, then the earlier step.
        """
        trained = self._trained()
        table = self._table()[trained]
        places = (table[:, None] > table[None]).sum(1) + ((table[:, None] == table[None]).sum(1) + 1) / 2
        candidates = set(among)
        ranked = [
            (float(rank), float(mean), self.steps[i])
            for i, rank, mean in zip(trained, places.mean(1), table.mean(1), strict=True)
            if self.steps[i] in candidates
        ]
        return min(ranked)[2] if ranked else None

    def steps_to_keep(self, saved: Iterable[int], *, best_per_task: bool) -> set[int]:
        """The steps whose weights become a result if the run ends now; the best by rank is one of the ``saved``."""
        best = {self.best_step}
        if best_per_task:
            best |= {*self.best_steps().values(), self.best_by_rank(saved)}
        return {step for step in best if step is not None}

    def state_dict(self) -> ValidationHistoryState:
        """All validations, for a checkpoint."""
        return {"steps": self.steps, "losses": self.losses}

    def load_state_dict(self, state: ValidationHistoryState) -> None:
        """Restore what ``state_dict`` returned."""
        self.steps, self.losses = list(state["steps"]), [list(losses) for losses in state["losses"]]
        self._apply_early_stopping()

    def _apply_early_stopping(self) -> None:
        stopping = self._early_stopping
        if stopping is None or not self.losses:
            return
        watched = self._watched(stopping)
        table = np.array(self.losses)
        if stopping.criterion == "each":
            self.stopped_tasks = [i for i in watched if self._ever_out(table[:, i], stopping.patience)]
            self.is_over = len(self.stopped_tasks) == len(watched)
        elif stopping.criterion == "mean":
            self.is_over = self._without_gain(table[:, watched].mean(1)) >= stopping.patience
        else:
            self.is_over = all(
                self._without_gain(column) >= stopping.patience for column in table[:, watched].T
            )

    def _watched(self, stopping: EarlyStoppingSpec) -> list[int]:
        named = [self._task_names.index(name) for name in stopping.tasks or self._task_names]
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
