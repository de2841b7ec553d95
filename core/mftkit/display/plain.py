"""Plain lines, for logs and pipes: one line a message, no control characters."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from mftkit.base.formatting import duration, one_line, whole
from mftkit.display.eta import Eta
from mftkit.display.generation import GenerationLine
from mftkit.display.lines import Validations, train_line
from mftkit.display.plan import plan_text
from mftkit.display.result import how_it_ended, result_view
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
"""Seconds of work that nobody needs to be told of."""
BETWEEN = 30.0
"""Seconds between two lines about one stretch of work."""


class PlainReporter(Reporter):
    """Writes messages to one stream and results to another."""

    def __init__(self, messages: TextIO, results: TextIO, *, dry_run: bool = False) -> None:
        self._messages = messages
        self._results = results
        self._dry_run = dry_run
        self._pace = Eta()
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
        """Nothing for short work; lines at the start, now and then, and at the end of longer work."""
        work = _Work(one_line(description), total, self._messages)
        try:
            yield work.advance
        except BaseException:
            work.stop()
            raise
        work.finish()

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:
        """As other work, with counts and cost."""
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
        """The plan: the result of a dry run, else a message."""
        self._total, self._directory = plan.steps, plan.output
        write(self._results if self._dry_run else self._messages, plan_text(plan))

    def step_ended(self, step: int, line: TrainLine | None) -> None:  # noqa: ARG002
        """All numbers of the line, and the time left."""
        if line is None:
            return
        self._pace.mark(line.step)
        left = None if self._total is None else self._pace.left(self._total)
        write(self._messages, train_line(line, self._total, left))

    def validated(self, line: ValidLine) -> None:
        """All losses of the line, with their change."""
        self._pace.mark(line.step)
        self._validations = self._validations or Validations.before(line.step, self._directory)
        parts = self._validations.parts(line, arrows=False)
        write(self._messages, "  ".join(part.plain for part in parts))

    def show_result(self, directory: Path, outcome: Outcome) -> None:
        """The result, and where the run did not reach its end, why."""
        write(self._results, as_text(result_view(directory, outcome)))
        told = how_it_ended(directory, outcome)
        if told:
            write(self._messages, one_line(told))


class _Work:
    """One stretch of work; a timer tells of its start, so that work that never advances is told of too."""

    def __init__(
        self, description: str, total: int | None, stream: TextIO, text: Callable[[], str] | None = None
    ) -> None:
        self._description = description
        self._text = text
        self._of = f" of {whole(total)}" if total is not None else ""
        self._total = total
        self._stream = stream
        self._done = 0
        self._started = self._told = time.monotonic()
        self._timer = threading.Timer(SHORT, self._tell)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, done: int) -> None:
        self._done += done
        if time.monotonic() - self._told > BETWEEN:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._text is not None:
            write(self._stream, self._text())
            return
        told = f": {self._how_far()}{self._left()}" if self._done else " ..."
        write(self._stream, f"{self._description}{told}")

    def _how_far(self) -> str:
        return f"{whole(self._done)}{self._of}"

    def _left(self) -> str:
        if self._total is None:
            return ""
        seconds = (self._told - self._started) * (self._total - self._done) / self._done
        return f", about {duration(max(0, seconds))} left"

    def stop(self) -> None:
        self._timer.cancel()

    def finish(self) -> None:
        self.stop()
        spent = time.monotonic() - self._started
        if spent >= SHORT:
            done = f"{self._how_far()} " if self._done else ""
            write(self._stream, f"{self._description}: done, {done}in {duration(spent)}")


def write(stream: TextIO, text: str) -> None:
    """A line, in one piece; what the stream's encoding lacks is written as escapes rather than not at all."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with suppress(BrokenPipeError):  # whoever listened has gone; the run has not
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
