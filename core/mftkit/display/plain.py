"""Plain lines, for logs and pipes: one line per message, without control characters."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from mftkit.base.formatting import duration, escaped, one_line, whole
from mftkit.display.eta import Eta
from mftkit.display.generation import GenerationLine
from mftkit.display.lines import Validations, train_line
from mftkit.display.plan import plan_text
from mftkit.display.result import failure_text, result_view
from mftkit.display.tables import as_text
from mftkit.reporting.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.plan import Plan

SHORT = 2.0
"""Seconds below which work is not reported."""
BETWEEN = 30.0
"""Seconds between two lines about the same work."""


class PlainReporter(Reporter):
    """Writes messages to one stream and results to another."""

    def __init__(self, messages: TextIO, results: TextIO, *, dry_run: bool = False) -> None:
        self._messages = messages
        self._results = results
        self._dry_run = dry_run
        self._eta = Eta()
        self._directory: Path | None = None
        self._validations: Validations | None = None
        self._total: int | None = None

    def note(self, message: str) -> None:
        """One line."""
        write(self._messages, one_line(message))

    def warn(self, message: str) -> None:
        """One line, marked."""
        write(self._messages, f"warning: {one_line(message)}")

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Nothing for short work; lines at the start, from time to time, and at the end of longer work."""
        work = _Work(one_line(description), total, self._messages)
        try:
            yield work.advance
        except BaseException:
            work.stop()
            raise
        work.finish()

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:
        """Like other work, with counts and cost."""
        line = GenerationLine(state)
        work = _Work(line.description, state.goal, self._messages, line.text)

        def changed() -> None:
            line.mark()
            work.advance(0)

        try:
            yield changed
        finally:
            work.stop()

    def planned(self, plan: Plan) -> None:
        """The plan: the result of a dry run, otherwise a message."""
        self._total, self._directory = plan.steps, plan.output
        write(self._results if self._dry_run else self._messages, plan_text(plan))

    def step_ended(self, step: int, line: TrainLine | None) -> None:  # noqa: ARG002
        """All numbers of a train line, and the time left."""
        if line is None:
            return
        self._eta.mark(line.step)
        write(self._messages, train_line(line, self._total, self._eta.text(self._total)))

    def validated(self, line: ValidLine) -> None:
        """All losses of the line, each with its change."""
        self._eta.mark(line.step)
        self._validations = self._validations or Validations.before(line.step, self._directory)
        parts = self._validations.parts(line, arrows=False)
        write(self._messages, "  ".join(part.plain for part in parts))

    def show_result(self, directory: Path, outcome: Outcome) -> None:
        """The result, and why a run did not reach its end."""
        write(self._results, as_text(result_view(directory, outcome)))
        failure = failure_text(directory, outcome)
        if failure:
            write(self._messages, one_line(failure))


class _Work:
    """Some work; a timer reports its start, so that work that never advances is reported too."""

    def __init__(
        self, description: str, total: int | None, stream: TextIO, text: Callable[[], str] | None = None
    ) -> None:
        self._description = description
        self._text = text
        self._of = f" of {whole(total)}" if total is not None else ""
        self._total = total
        self._stream = stream
        self._done = 0
        self._started = self._reported = time.monotonic()
        self._eta = Eta()
        self._eta.mark(0)
        self._timer = threading.Timer(SHORT, self._report)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, done: int) -> None:
        self._done += done
        self._eta.mark(self._done)
        if time.monotonic() - self._reported > BETWEEN:
            self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        if self._text is not None:
            write(self._stream, self._text())
            return
        left = self._eta.text(self._total)
        progress = f": {self._progress()}{f', about {left}' if left else ''}" if self._done else " ..."
        write(self._stream, f"{self._description}{progress}")

    def _progress(self) -> str:
        return f"{whole(self._done)}{self._of}"

    def stop(self) -> None:
        self._timer.cancel()

    def finish(self) -> None:
        self.stop()
        spent = time.monotonic() - self._started
        if spent >= SHORT:
            done = f"{self._progress()} " if self._done else ""
            write(self._stream, f"{self._description}: done, {done}in {duration(spent)}")


def write(stream: TextIO, text: str) -> None:
    """Write a line in one piece; characters that the stream's encoding lacks are escaped."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with suppress(BrokenPipeError):  # the reader has gone, but the run continues
        stream.write(escaped(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
