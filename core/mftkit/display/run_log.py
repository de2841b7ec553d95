"""The log of a run: everything that is reported, as plain lines with time stamps, in a file of the run directory."""

from __future__ import annotations

import io
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

from mftkit.base.credentials import without_secrets
from mftkit.base.formatting import one_line
from mftkit.display.plain import PlainReporter
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.lines import EvaluationLine, RollbackLine, TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.plan import Plan

_STAMP = "%Y-%m-%d %H:%M:%S"
_INDENT = " " * 20
"""Width of a time stamp and the space after it."""


class LogFile(io.TextIOBase):
    """A text file to which stamped lines are appended; lines are kept in memory until it has a path.

    The file is opened for each write, so it may be removed at any time. A file that cannot be written is reported once.
    """

    encoding = "utf-8"

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._path: Path | None = None
        self._waiting: list[str] = []

    def open_at(self, path: Path) -> None:
        """Append what was written so far, and everything from now on, to ``path``."""
        self._path = path
        waiting, self._waiting = "".join(self._waiting), []
        self._append(waiting)

    def write(self, text: str) -> int:
        """Append a text; its first line has a time stamp, and no line has control characters."""
        lines = [one_line(line).rstrip() for line in without_secrets(text).rstrip("\n").split("\n")]
        stamped = [f"{time.strftime(_STAMP)} {lines[0]}", *(f"{_INDENT}{line}" for line in lines[1:])]
        self._append("".join(f"{line.rstrip()}\n" for line in stamped))
        return len(text)

    def _append(self, text: str) -> None:
        if self._path is None:
            self._waiting.append(text)
            return
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            warn, self._warn = self._warn, _ignore
            warn(f"{self._path.name} cannot be written ({error.strerror}); the run continues without it")


class LoggedReporter(Reporter):
    """Passes everything on to a reporter, and writes it to the log."""

    def __init__(self, shown: Reporter) -> None:
        self._shown = shown
        self.file = LogFile(shown.warn)
        stream = cast("TextIO", self.file)
        self._log = PlainReporter(stream, stream)

    def failed(self, error: BaseException) -> None:
        """Write an error to the log, with its traceback unless it is a mistake of the user's."""
        if isinstance(error, MftError):
            self.file.write(f"error: {error}")
        else:
            self.file.write("".join(traceback.format_exception(error)))

    def close(self) -> None:
        """Close the other reporter."""
        self._shown.close()

    def note(self, message: str) -> None:
        """Pass it on, and write it."""
        self._shown.note(message)
        self._log.note(message)

    def warn(self, message: str) -> None:
        """Pass it on, and write it."""
        self._shown.warn(message)
        self._log.warn(message)

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show it, and write lines about longer work."""
        with (
            self._shown.progress(description, total) as shown,
            self._log.progress(description, total) as logged,
        ):

            def advance(done: int) -> None:
                shown(done)
                logged(done)

            yield advance

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:
        """Show it, and write lines about longer work."""
        with self._shown.generation(state) as shown, self._log.generation(state) as logged:

            def changed() -> None:
                shown()
                logged()

            yield changed

    def planned(self, plan: Plan) -> None:
        """Pass it on, and write it."""
        self._shown.planned(plan)
        self._log.planned(plan)

    def started(self, step: int) -> None:
        """Pass it on."""
        self._shown.started(step)

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Pass it on, and write it."""
        self._shown.step_ended(step, line)
        self._log.step_ended(step, line)

    def validated(self, line: ValidLine) -> None:
        """Pass it on, and write it."""
        self._shown.validated(line)
        self._log.validated(line)

    def evaluated(self, line: EvaluationLine) -> None:
        """Pass it on, and write it."""
        self._shown.evaluated(line)
        self._log.evaluated(line)

    def task_stopped(self, task: str, step: int) -> None:
        """Pass it on, and write it."""
        self._shown.task_stopped(task, step)
        self._log.task_stopped(task, step)

    def rolled_back(self, line: RollbackLine) -> None:
        """Pass it on, and write it."""
        self._shown.rolled_back(line)
        self._log.rolled_back(line)

    def stop_requested(self, signal: str) -> None:
        """Pass it on, and write it."""
        self._shown.stop_requested(signal)
        self._log.stop_requested(signal)

    def stopping(self, step: int, stopped_by: str, line: TrainLine | None) -> None:
        """Pass it on, and write it."""
        self._shown.stopping(step, stopped_by, line)
        self._log.stopping(step, stopped_by, line)

    def saved(self, step: int, path: Path) -> None:
        """Pass it on, and write it."""
        self._shown.saved(step, path)
        self._log.note(f"checkpoint of step {step} saved")

    def ended(self, outcome: Outcome) -> None:
        """Pass it on."""
        self._shown.ended(outcome)

    def show_result(self, directory: Path, outcome: Outcome) -> None:
        """Show it, and write it."""
        self._shown.show_result(directory, outcome)
        self._log.show_result(directory, outcome)


def _ignore(message: str) -> None:
    del message
