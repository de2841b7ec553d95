"""Listeners to a run: one interface, and a fan-out that keeps their failures away from the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import EvaluationLine, RollbackLine, TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome


class Listener:
    """Is called during a run; a subclass overrides the methods that it needs."""

    name: str = "a listener"
    """Its name in messages about failures; with the package, if a plugin provides it."""
    key: str = ""
    """Its name in the state of a checkpoint."""

    def started(self, step: int) -> None:
        """The first step after ``step`` is about to be made."""

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """An optimizer step was made; ``line`` is its train line, None where the step does not log."""

    def validated(self, line: ValidLine) -> None:
        """A validation was made."""

    def evaluated(self, line: EvaluationLine) -> None:
        """The tasks were evaluated."""

    def task_stopped(self, task: str, step: int) -> None:
        """Early stopping has set the weight of a task to 0."""

    def rolled_back(self, line: RollbackLine) -> None:
        """A task was dropped, and the run went back to an earlier step: what was reported past it does not count."""

    def stop_requested(self, signal: str) -> None:
        """A signal came: the current step is finished, a checkpoint saved. Called by the signal's handler."""

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint is complete, at ``path``."""

    def stopping(self, step: int, stopped_by: str, line: TrainLine | None) -> None:
        """A callback ends the run after ``step``; ``line`` has the steps since the last train line, if any."""

    def ended(self, outcome: Outcome) -> None:
        """The last line of metrics.jsonl was written."""

    def state_dict(self) -> JsonObject:
        """What a checkpoint keeps of it; empty if it keeps nothing."""
        return {}

    def load_state_dict(self, state: JsonObject) -> None:
        """Restore what ``state_dict`` returned."""


class FailureReport:
    """Warns of each failing listener once."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._reported: set[str] = set()

    def __call__(self, name: str, error: BaseException, where: str = "") -> None:
        """Warn that the listener called ``name`` failed, in its method ``where``, unless it has failed before."""
        if name in self._reported:
            return
        self._reported.add(name)
        message = " ".join(str(error).split())
        self._warn(
            f"{name} failed{f' in {where}' if where else ''}: {type(error).__name__}: {message}. The run continues; "
            "further failures are not reported. metrics.jsonl holds every number."
        )


class Listeners(Listener):
    """Passes everything on: to the reporter, then to each listener in order.

    An exception of a listener is reported once, and the run continues. A listener that fails in ``started`` is not
    called again, and an MftError from there ends the run before its first step. Exceptions of the reporter are not
    caught.
    """

    def __init__(self, reporter: Listener, listeners: Iterable[Listener], failures: FailureReport) -> None:
        self._reporter = reporter
        self._listeners = list(listeners)
        self._failures = failures

    def started(self, step: int) -> None:
        """Pass it on."""
        self._reporter.started(step)
        for listener in list(self._listeners):
            try:
                listener.started(step)
            except MftError:
                raise
            except (Exception, SystemExit) as error:
                self._failures(listener.name, error)
                self._listeners.remove(listener)

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.step_ended(step, line))

    def validated(self, line: ValidLine) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.validated(line))

    def evaluated(self, line: EvaluationLine) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.evaluated(line))

    def task_stopped(self, task: str, step: int) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.task_stopped(task, step))

    def rolled_back(self, line: RollbackLine) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.rolled_back(line))

    def stop_requested(self, signal: str) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.stop_requested(signal))

    def saved(self, step: int, path: Path) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.saved(step, path))

    def stopping(self, step: int, stopped_by: str, line: TrainLine | None) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.stopping(step, stopped_by, line))

    def ended(self, outcome: Outcome) -> None:
        """Pass it on."""
        self._each(lambda listener: listener.ended(outcome))

    def state_dict(self) -> JsonObject:
        """The states of those that have one, by name; one that fails is reported."""
        states: JsonObject = {}
        for listener in self._listeners:
            try:
                state = listener.state_dict()
            except (Exception, SystemExit) as error:
                self._failures(listener.name, error, where="state_dict")
                continue
            if state:
                states[listener.key] = state
        return states

    def load_state_dict(self, state: JsonObject) -> None:
        """Restore the states that a checkpoint has; one that fails is reported."""
        for listener in self._listeners:
            if listener.key in state:
                try:
                    listener.load_state_dict(state[listener.key])
                except (Exception, SystemExit) as error:
                    self._failures(listener.name, error, where="load_state_dict")

    def _each(self, call: Callable[[Listener], None]) -> None:
        call(self._reporter)
        for listener in self._listeners:
            try:
                call(listener)
            except (Exception, SystemExit) as error:
                self._failures(listener.name, error)
