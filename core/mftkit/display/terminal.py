"""The display in a terminal: messages scroll above a panel that is redrawn in place."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from mftkit.base.formatting import duration, one_line, whole
from mftkit.display.eta import Eta
from mftkit.display.generation import GenerationLine
from mftkit.display.lines import Validations
from mftkit.display.plain import SHORT, write
from mftkit.display.plan import plan_view
from mftkit.display.progress_panel import TrainingPanel
from mftkit.display.result import failure_text, result_view
from mftkit.display.tables import Flow, as_text, color_system
from mftkit.reporting.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    from rich.console import RenderableType
    from rich.progress import Task, TaskID

    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.plan import Plan

REDRAWS_PER_SECOND = 4
"""Often enough for the clock to be seen ticking."""


class SteadyConsole(Console):
    """Never hides the cursor, so that even SIGKILL leaves the terminal as it was."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Leave the cursor visible."""
        return False


class _LeftColumn(ProgressColumn):
    """The time left of some work."""

    def __init__(self) -> None:
        super().__init__()
        self.etas: dict[TaskID, Eta] = {}

    def render(self, task: Task) -> Text:
        """At the pace so far."""
        eta = self.etas.get(task.id)
        return Text("" if eta is None or task.finished else eta.text(_whole_or_none(task.total)))


def _whole_or_none(total: float | None) -> int | None:
    return None if total is None else round(total)


class TerminalReporter(Reporter):
    """Draws in a terminal; results go to their own stream, with colors if that is a terminal too."""

    def __init__(self, messages: TextIO, results: TextIO, *, dry_run: bool = False) -> None:
        self._console = SteadyConsole(
            file=messages, color_system=color_system(), highlight=False, markup=False, emoji=False
        )
        self._results = results
        self._dry_run = dry_run
        self._eta = Eta()
        self._directory: Path | None = None
        self._validations: Validations | None = None
        self._panel: TrainingPanel | None = None
        self._left = _LeftColumn()
        self._work = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            self._left,
            console=self._console,
        )
        self._live: Live | None = None
        self._facts: Text | None = None

    def note(self, message: str) -> None:
        """A line above the panel."""
        self._console.print(Text(one_line(message), overflow="fold"))

    def warn(self, message: str) -> None:
        """A line above the panel, marked."""
        self._console.print(Text.assemble(("warning: ", "yellow"), one_line(message), overflow="fold"))

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A progress bar; longer work leaves a line behind."""
        text, started = one_line(description), time.monotonic()
        task = self._work.add_task(text, total=total)
        eta = self._left.etas[task] = Eta()
        eta.mark(0)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            eta.mark(done)
            self._work.advance(task, more)

        self._draw()
        try:
            yield advance
        finally:
            self._work.remove_task(task)
            if self._panel is None and not self._work.tasks:
                self._stop()
        spent = time.monotonic() - started
        if spent >= SHORT:
            self.note(f"{text}: done, {f'{whole(done)} ' if done else ''}in {duration(spent)}")

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:
        """A progress bar of the rows, and under it counts, cost and time left."""
        line, drawn = GenerationLine(state), 0.0
        task = self._work.add_task(line.description, total=state.goal)

        def changed() -> None:
            nonlocal drawn
            line.mark()
            if time.monotonic() - drawn >= 1 / REDRAWS_PER_SECOND:
                drawn = time.monotonic()
                self._work.update(task, completed=state.rows)
                self._facts = Text("  " + "  ".join(line.facts()), style="dim")

        self._draw()
        try:
            yield changed
        finally:
            self._facts = None
            self._work.remove_task(task)
            if self._panel is None and not self._work.tasks:
                self._stop()

    def planned(self, plan: Plan) -> None:
        """The plan, and unless this is a dry run, the panel of the run."""
        if self._dry_run:
            self._result(plan_view(plan))
            return
        self._console.print()
        self._console.print(plan_view(plan))
        self._console.print()
        self._directory = plan.output
        self._panel = TrainingPanel(plan.name, plan.steps, self._eta)
        self._draw()

    def step_ended(self, step: int, line: TrainLine | None) -> None:  # noqa: ARG002
        """Redraw the panel with a train line."""
        if line is None:
            return
        self._eta.mark(line.step)
        if self._panel is not None:
            self._panel.update(line)
        if self._live is not None:
            self._live.refresh()

    def validated(self, line: ValidLine) -> None:
        """A line above the panel."""
        self._eta.mark(line.step)
        self._validations = self._validations or Validations.before(line.step, self._directory)
        self._console.print(Flow(self._validations.parts(line, arrows=True)))

    def show_result(self, directory: Path, outcome: Outcome) -> None:
        """The result in place of the panel."""
        self.close()
        self._console.print()
        self._result(result_view(directory, outcome))
        failure = failure_text(directory, outcome)
        if failure:
            style = "red" if outcome.reason == "failed" else "yellow"
            self._console.print(Text(one_line(failure), style=style, overflow="fold"))

    def close(self) -> None:
        """Take the panel down; may be called again."""
        self._panel = None
        for task in self._work.task_ids:
            self._work.remove_task(task)
        self._stop()

    def _result(self, view: RenderableType) -> None:
        if not self._results.isatty():
            write(self._results, as_text(view))
            return
        console = Console(
            file=self._results, color_system=color_system(), highlight=False, markup=False, emoji=False
        )
        with console.capture() as captured:
            console.print(view)
        write(self._results, captured.get().removesuffix("\n"))

    def _panels(self) -> RenderableType:
        """Everything that is redrawn; the cursor rests on the empty last line."""
        parts: list[RenderableType] = []
        if self._work.tasks:
            parts.append(self._work.make_tasks_table(self._work.tasks))
        if self._facts is not None:
            parts.append(self._facts)
        if self._panel is not None:
            parts.append(self._panel)
        return Group(*parts, Text())

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._panels,
                refresh_per_second=REDRAWS_PER_SECOND,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # never output that goes to a file or a pipe
            )
            self._live.start()

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
