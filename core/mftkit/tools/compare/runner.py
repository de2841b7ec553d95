"""Trains what is not trained yet, one run after the other."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats
from mftkit.reporting.reporter import Reporter
from mftkit.runs.directory import RunDirectory
from mftkit.tools.run import run as train
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from signal import Signals

    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison, PlannedRun

KEPT_EVERY = 5.0
"""Seconds after which the time of the run under way is remembered, so that a kill loses no more."""


def train_all(
    comparison: Comparison,
    directory: ComparisonDirectory,
    reporter: Reporter,
    after_each: Callable[[], object],
) -> Signals | None:
    """Train every run that is not finished; the signal that stopped it, or None.

    A run that fails is told, and the others go on. ``after_each`` is called after each run.

    Raises MftError, with the run named, for what the user can mend.
    """
    open_runs = [run for run in comparison.runs if not _is_finished(run)]
    done = len(comparison.runs) - len(open_runs)
    if done:
        reporter.note(f"{done} of {len(comparison.runs)} runs were finished before, and are not run again")
    total, told_before = sum(run.steps for run in open_runs), set[str]()
    with reporter.progress("all runs", total) as advance:
        for number, run in enumerate(open_runs, done + 1):
            reporter.note(f"run {number} of {len(comparison.runs)}: {run.told}, {run.steps} steps")
            stopped = _train(run, directory, reporter, advance, told_before)
            after_each()
            if stopped is not None:
                return stopped
    return None


def _is_finished(run: PlannedRun) -> bool:
    try:
        return RunDirectory(run.spec.output).is_finished(run.spec)
    except MftError as error:
        raise MftError(f"{run.told}: {error}") from error


def _train(
    run: PlannedRun,
    directory: ComparisonDirectory,
    reporter: Reporter,
    advance: Callable[[int], None],
    told_before: set[str],
) -> Signals | None:
    with reporter.progress(run.told, run.steps) as own:
        watch = _Watch(run, directory, reporter, (own, advance), told_before)
        try:
            outcome = train(run.spec, reporter=watch)
        except MftError as error:
            raise MftError(f"{run.told}: {error}") from error
        finally:
            watch.remember()
    if outcome.reason == "failed":
        reporter.warn(f"{run.told} failed: {outcome.error}; the others go on")
    elif outcome.signal is None:
        reporter.note(f"{run.told}: {outcome.reason} after step {outcome.step}, {watch.told}")
    if outcome.reason == "interrupted":
        from signal import SIGTERM

        return outcome.signal or SIGTERM
    return None


class _Watch(Reporter):
    """Stands between one run and the person: steps and time are counted, what is told twice is told once."""

    def __init__(
        self,
        run: PlannedRun,
        directory: ComparisonDirectory,
        reporter: Reporter,
        advances: tuple[Callable[[int], None], ...],
        told_before: set[str],
    ) -> None:
        self.told_before = told_before
        self._run = run
        self._directory = directory
        self._reporter = reporter
        self._advances = advances
        self._step = 0
        self._before = directory.seconds(run.key)
        self._sittings = directory.sittings(run.key) + 1
        self._started = self._kept = time.monotonic()
        self._best: float | None = None

    @property
    def told(self) -> str:
        """The best mean validation loss."""
        return f"best mean validation loss {nats(self._best)}"

    def remember(self) -> None:
        """Keep the time so far."""
        self._kept = time.monotonic()
        self._directory.spent(self._run.key, self._before + self._kept - self._started, self._sittings)

    def note(self, message: str) -> None:
        """As it is, unless another run told the same."""
        if message not in self.told_before:
            self.told_before.add(message)
            self._reporter.note(message)

    def warn(self, message: str) -> None:
        """As it is, unless another run told the same."""
        if message not in self.told_before:
            self.told_before.add(message)
            self._reporter.warn(message)

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """As it is."""
        with self._reporter.progress(description, total) as advance:
            yield advance

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Counts steps, as often as the run logs."""
        if line is not None:
            self._at(step)

    def validated(self, line: ValidLine) -> None:
        """Counts steps, and keeps the best."""
        self._at(line.step)
        if line.step and line.loss is not None:
            self._best = line.loss if self._best is None else min(self._best, line.loss)

    def _at(self, step: int) -> None:
        if step > self._step:
            for advance in self._advances:
                advance(step - self._step)
            self._step = step
        if time.monotonic() - self._kept > KEPT_EVERY:
            self.remember()
