"""Trains the runs of a comparison that are not finished, one after the other."""

from __future__ import annotations

import time
from contextlib import contextmanager
from signal import SIGTERM
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats
from mftkit.reporting.reporter import Reporter
from mftkit.runs.directory import RunDirectory
from mftkit.tools.run import run as train
from mftkit.tools.run_ending import write_missing_report
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from signal import Signals

    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison, PlannedRun

RECORD_EVERY = 5.0
"""Seconds after which the time of the current run is written down, so that a kill loses no more."""


def train_all(
    comparison: Comparison,
    directory: ComparisonDirectory,
    reporter: Reporter,
    after_each: Callable[[], object],
) -> Signals | None:
    """Train every run that is not finished; the signal that stopped it, or None.

    A run that fails is reported, and the others are trained. ``after_each`` is called after each run.

    Raises MftError, with the run named, for what the user can fix.
    """
    open_runs = [run for run in comparison.runs if not _is_finished(run)]
    done = len(comparison.runs) - len(open_runs)
    for run in comparison.runs:
        if run not in open_runs:
            write_missing_report(RunDirectory(run.spec.output), reporter)
    if done:
        reporter.note(f"{done} of {len(comparison.runs)} runs are finished already and are not trained again")
    total, messages = sum(run.steps for run in open_runs), set[str]()
    with reporter.progress("all runs", total) as advance:
        for number, run in enumerate(open_runs, done + 1):
            directory.check_in_place()  # a run would make the directory again
            reporter.note(f"run {number} of {len(comparison.runs)}: {run.title}, {run.steps} steps")
            stopped = _train(run, directory, reporter, advance, messages)
            after_each()
            if stopped is not None:
                return stopped
    return None


def _is_finished(run: PlannedRun) -> bool:
    try:
        return RunDirectory(run.spec.output).is_finished(run.spec)
    except MftError as error:
        raise MftError(f"{run.title}: {error}") from error


def _train(
    run: PlannedRun,
    directory: ComparisonDirectory,
    reporter: Reporter,
    advance: Callable[[int], None],
    messages: set[str],
) -> Signals | None:
    with reporter.progress(run.title, run.steps) as own:
        watch = RunWatch(run, directory, reporter, (own, advance), messages)
        try:
            outcome = train(run.spec, reporter=watch)
        except MftError as error:
            raise MftError(f"{run.title}: {error}") from error
        finally:
            watch.record_time()
    if outcome.reason == "failed":
        reporter.warn(f"{run.title} failed: {outcome.error}. The comparison continues with the other runs.")
    elif outcome.is_complete:
        reporter.note(f"{run.title}: {outcome.reason} after step {outcome.step}, {watch.best_text}")
    if outcome.reason == "interrupted":
        return outcome.signal or SIGTERM
    return None


class RunWatch(Reporter):
    """The reporter of one run: counts its steps and its time, and passes on messages that no other run gave."""

    def __init__(
        self,
        run: PlannedRun,
        directory: ComparisonDirectory,
        reporter: Reporter,
        advances: tuple[Callable[[int], None], ...],
        messages: set[str],
    ) -> None:
        self._messages = messages
        self._run = run
        self._directory = directory
        self._reporter = reporter
        self._advances = advances
        self._step = 0
        self._seconds_before = directory.seconds(run.key)
        self._sessions = directory.sessions(run.key) + 1
        self._started = self._recorded = time.monotonic()
        self._best: float | None = None

    @property
    def best_text(self) -> str:
        """The best mean validation loss, for a message."""
        return f"best mean validation loss {nats(self._best)}"

    def record_time(self) -> None:
        """Keep the time so far."""
        self._recorded = time.monotonic()
        seconds = self._seconds_before + self._recorded - self._started
        self._directory.record_time(self._run.key, seconds, self._sessions)

    def note(self, message: str) -> None:
        """Pass it on, unless another run gave the same."""
        if message not in self._messages:
            self._messages.add(message)
            self._reporter.note(message)

    def warn(self, message: str) -> None:
        """Pass it on, unless another run gave the same."""
        if message not in self._messages:
            self._messages.add(message)
            self._reporter.warn(message)

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Pass it on."""
        with self._reporter.progress(description, total) as advance:
            yield advance

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Count steps, as often as the run logs."""
        if line is not None:
            self._count(step)

    def validated(self, line: ValidLine) -> None:
        """Count steps, and keep the best loss."""
        self._count(line.step)
        if line.step and line.loss is not None:
            self._best = line.loss if self._best is None else min(self._best, line.loss)

    def _count(self, step: int) -> None:
        if step > self._step:
            for advance in self._advances:
                advance(step - self._step)
            self._step = step
        if time.monotonic() - self._recorded > RECORD_EVERY:
            self.record_time()
