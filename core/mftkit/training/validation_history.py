"""The validations of a run so far, and what follows from them: best steps, stopped tasks, roll-backs, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

import numpy as np

from mftkit.spec.training import STOPS_TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mftkit.spec import EarlyStoppingSpec


class ValidationHistoryState(TypedDict):
    """The part of a checkpoint from which all else follows."""

    steps: list[int]
    losses: list[list[float]]
    rollbacks: NotRequired[list[list[int]]]
    """[task, step, to] of each, in order; only where there are any."""


class Rollback(NamedTuple):
    """A task that overfits is dropped, and the run goes back to the step that was best for it."""

    task: int
    step: int
    """At which the task was found to overfit."""
    to: int


class ValidationHistory:
    """All validations of a run so far; the only place that knows what early stopping has stopped.

    Where a metric decides, instead of the losses, there is one history of the losses and one of the metric, turned so
    that lower is better. After a roll-back the validations past the step to which the run went back are gone.
    """

    def __init__(
        self,
        task_names: Sequence[str] = (),
        early_stopping: EarlyStoppingSpec | None = None,
        trained: int | None = None,
    ) -> None:
        """``trained``: number of tasks that are trained, the first ones; None: all."""
        self.task_names = list(task_names)
        self._trained_tasks = len(self.task_names) if trained is None else trained
        self._early_stopping = early_stopping
        self.steps: list[int] = []
        self.losses: list[list[float]] = []
        """[validations][tasks] nats per token, or the metric; NaN for a task that is not validated."""
        self.stopped_tasks: list[int] = []
        """Tasks, by index, that no longer train; empty unless each task is stopped by itself.

        A task stays stopped, even if the others' training makes it better again.
        """
        self.rollbacks: list[Rollback] = []
        self.is_over = False
        """Whether early stopping ends the run."""

    def add(self, step: int, losses: Sequence[float]) -> list[int]:
        """Add a validation; returns the tasks that it has stopped."""
        before = self.stopped_tasks
        self.steps.append(step)
        self.losses.append([float(loss) for loss in losses])  # plain numbers: what a checkpoint can hold
        self._apply_early_stopping()
        return [task for task in self.stopped_tasks if task not in before]

    def pending_rollback(self) -> Rollback | None:
        """The roll-back that the validations so far ask for (mSFT, arXiv 2603.21606); None if they ask for none.

        Of the tasks that have not improved for ``patience`` validations, it is the one whose best step comes first.
        Validations count from the last roll-back on, with the one of the step to which it went.
        """
        stopping = self._early_stopping
        if stopping is None or stopping.criterion != "rollback":
            return None
        since = self._since_rollback()
        series = {task: np.array([self.losses[i][task] for i in since]) for task in self._active(stopping)}
        overfit = [
            (self.steps[since[int(each.argmin())]], task)
            for task, each in series.items()
            if len(each) and self._without_gain(each) >= stopping.patience
        ]
        if not overfit:
            return None
        to, task = min(overfit)
        return Rollback(task, self.steps[-1], to)

    def from_best_to_worst(self, task: int) -> list[int]:
        """The steps of validations since the last roll-back, ordered by a task's loss."""
        return [
            step
            for _loss, step in sorted((self.losses[i][task], self.steps[i]) for i in self._since_rollback())
        ]

    def roll_back(self, rollback: Rollback) -> None:
        """Drop a task, and the validations past the step to which the run goes back."""
        self.forget_after(rollback.to)
        self.rollbacks.append(rollback)
        self._apply_early_stopping()

    def forget_after(self, step: int) -> None:
        """Drop the validations past a step to which the run goes back."""
        kept = sum(1 for each in self.steps if each <= step)
        self.steps, self.losses = self.steps[:kept], self.losses[:kept]

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
        """The steps whose weights become a result if the run ends now, and those to which it may go back.

        The best by rank is one of the ``saved``.
        """
        best = {self.best_step, *self._steps_to_go_back_to()}
        if best_per_task:
            best |= {*self.best_steps().values(), self.best_by_rank(saved)}
        return {step for step in best if step is not None}

    def state_dict(self) -> ValidationHistoryState:
        """All validations, for a checkpoint."""
        state: ValidationHistoryState = {"steps": self.steps, "losses": self.losses}
        if self.rollbacks:
            state["rollbacks"] = [list(each) for each in self.rollbacks]
        return state

    def load_state_dict(self, state: ValidationHistoryState) -> None:
        """Restore what ``state_dict`` returned."""
        self.steps, self.losses = list(state["steps"]), [list(losses) for losses in state["losses"]]
        self.rollbacks = [Rollback(*each) for each in state.get("rollbacks", [])]
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
        elif stopping.criterion == "rollback":
            self.stopped_tasks = sorted(each.task for each in self.rollbacks)
            self.is_over = not self._active(stopping)
        elif stopping.criterion == "mean":
            self.is_over = self._without_gain(table[:, watched].mean(1)) >= stopping.patience
        else:
            self.is_over = all(
                self._without_gain(column) >= stopping.patience for column in table[:, watched].T
            )

    def _watched(self, stopping: EarlyStoppingSpec) -> list[int]:
        named = [self.task_names.index(name) for name in stopping.tasks or self.task_names]
        stops_tasks = stopping.criterion in STOPS_TASKS
        most = self._trained_tasks if stops_tasks else len(self.task_names)
        return [index for index in named if index in self._validated() and index < most]

    def _active(self, stopping: EarlyStoppingSpec) -> list[int]:
        """Watched tasks that were not dropped."""
        dropped = {each.task for each in self.rollbacks}
        return [task for task in self._watched(stopping) if task not in dropped]

    def _since_rollback(self) -> list[int]:
        """Validations of a trained model since the last roll-back, with that of the step to which it went."""
        first = self.rollbacks[-1].to if self.rollbacks else 1
        return [i for i in self._trained() if self.steps[i] >= first]

    def _steps_to_go_back_to(self) -> set[int]:
        stopping = self._early_stopping
        since = self._since_rollback()
        if stopping is None or stopping.criterion != "rollback" or not since:
            return set()
        table = np.array([self.losses[i] for i in since])
        return {self.steps[since[int(table[:, task].argmin())]] for task in self._active(stopping)}

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
