"""The display in a notebook: one output area per call, updated in place; what remains in it is the end of the run."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from mftkit.base.formatting import duration, nats, number, one_line, place, whole
from mftkit.display.eta import Eta
from mftkit.display.generation import GenerationLine
from mftkit.reporting.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.reporting.generation_progress import GenerationProgress
    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.plan import Plan

BETWEEN = 0.5
"""Seconds between two updates of the output area."""
_MESSAGES = "max-height:16em; overflow:auto; white-space:pre-wrap; font-family:monospace; font-size:90%"


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook (Jupyter, VS Code, Colab, nbclient)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def notebook_reporter(*, dry_run: bool = False) -> NotebookReporter:
    """A reporter that draws into the output of the cell that is running.

    ``dry_run``: no training follows the plan.
    """
    from IPython.display import display

    handle = None

    def show(html: str, text: str) -> None:
        nonlocal handle
        content = {"text/html": html, "text/plain": text}
        if handle is None:
            handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            handle.update(content, raw=True)

    return NotebookReporter(show, dry_run=dry_run)


@dataclass
class _Work:
    """A piece of work in progress."""

    description: str
    total: int | None
    eta: Eta
    done: int = 0
    facts: str = ""

    @property
    def text(self) -> str:
        of = f" of {whole(self.total)}" if self.total is not None else ""
        parts = [f"{self.description}: {whole(self.done)}{of}", self.facts, self.eta.text(self.total)]
        return "  ".join(part for part in parts if part)


@dataclass
class _Task:
    """A task's latest losses."""

    train: float | None = None
    weight: float | None = None
    first: float | None = None
    last: float | None = None
    best: float | None = None
    best_step: int | None = None


class NotebookReporter(Reporter):
    """Draws messages, progress and the tasks' losses as one piece of HTML, with plain text for other viewers.

    ``show(html, text)`` puts it in place of what was shown before.
    """

    def __init__(
        self,
        show: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        dry_run: bool = False,
    ) -> None:
        self._dry_run = dry_run
        self._show = show
        self._clock = clock
        self._drawn = float("-inf")
        self._messages: list[str] = []
        self._works: list[_Work] = []
        self._tasks: dict[str, _Task] = {}
        self._name, self._total, self._step = "", 0, 0
        self._loss: float | None = None
        self._eta = Eta()
        self._end = ""

    def note(self, message: str) -> None:
        """A line of the messages."""
        self._messages.append(one_line(message))
        self._draw()

    def warn(self, message: str) -> None:
        """A line of the messages, marked."""
        self.note(f"warning: {message}")

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A progress bar while the work lasts."""
        work = _Work(one_line(description), total, Eta())
        work.eta.mark(0)
        self._works.append(work)

        def advance(more: int) -> None:
            work.done += more
            work.eta.mark(work.done)
            self._draw()

        self._draw()
        try:
            yield advance
        finally:
            self._works.remove(work)
            self._draw()

    @contextmanager
    def generation(self, state: GenerationProgress) -> Iterator[Callable[[], None]]:
        """A progress bar of the rows, with counts and cost."""
        line = GenerationLine(state)
        work = _Work(line.description, state.goal, Eta())
        self._works.append(work)

        def changed() -> None:
            line.mark()
            work.done, work.facts = state.rows, "  ".join(line.facts())
            self._draw()

        try:
            yield changed
        finally:
            self._works.remove(work)
            self._draw()

    def planned(self, plan: Plan) -> None:
        """The plan in a line, and its notes."""
        name = one_line(plan.name)
        if not self._dry_run:
            self._name, self._total = name, plan.steps
        tasks = ", ".join(f"{one_line(task.name)} {whole(task.samples)}" for task in plan.tasks)
        self._messages += [
            f"{name}: {whole(plan.steps)} steps; samples: {tasks}; {whole(plan.trainable)} of "
            f"{whole(plan.parameters)} parameters trained on {plan.device}",
            *(one_line(note) for note in plan.notes),
        ]
        self._draw(now=True)

    def step_ended(self, step: int, line: TrainLine | None) -> None:  # noqa: ARG002
        """The numbers of a train line."""
        if line is None:
            return
        self._step, self._loss = line.step, line.loss
        self._eta.mark(line.step)
        for name, task in line.tasks.items():
            shown = self._tasks.setdefault(name, _Task())
            shown.train, shown.weight = task.loss, task.weight
        self._draw()

    def validated(self, line: ValidLine) -> None:
        """The losses of a validation."""
        self._eta.mark(line.step)
        for name, task in line.tasks.items():
            shown = self._tasks.setdefault(name, _Task())
            shown.last = task.loss
            if shown.first is None:
                shown.first = task.loss
            if line.step and task.loss is not None and (shown.best is None or task.loss < shown.best):
                shown.best, shown.best_step = task.loss, line.step
        self._draw()

    def show_result(self, directory: Path, outcome: Outcome) -> None:
        """How the run ended, in place of its progress."""
        self._end = f"{outcome.reason} at step {whole(outcome.step)}"
        if outcome.error:
            self._end += f": {one_line(outcome.error)}"
        if outcome.reason == "interrupted":
            self._end += "; a checkpoint was saved, and the same call resumes the run"
        self._end += f" ({place(directory)})"
        self._draw(now=True)

    def close(self) -> None:
        """Draw what has not been drawn yet."""
        self._draw(now=True)

    def _draw(self, *, now: bool = False) -> None:
        if not now and self._clock() - self._drawn < BETWEEN:
            return
        html = self._html()
        if html:
            self._drawn = self._clock()
            self._show(html, self._text())

    def _state(self) -> str:
        if self._end or not self._name:
            return self._end
        parts = [
            f"step {whole(self._step)} of {whole(self._total)}",
            f"loss {nats(self._loss)}",
            self._left(),
        ]
        return "  ".join(part for part in parts if part)

    def _left(self) -> str:
        left = self._eta.left(self._total)
        return "" if left is None else f"{duration(left)} left"

    def _rows(self) -> list[list[str]]:
        return [
            [
                one_line(name),
                nats(task.train),
                number(task.weight, ".3f"),
                nats(task.first),
                nats(task.last),
                nats(task.best) + (f" (step {whole(task.best_step)})" if task.best_step is not None else ""),
            ]
            for name, task in self._tasks.items()
        ]

    def _html(self) -> str:
        parts = []
        if self._messages:
            parts.append(f"<div style='{_MESSAGES}'>{escape(chr(10).join(self._messages))}</div>")
        parts += [
            f"<div>{_bar(work.done, work.total)} {escape(one_line(work.text))}</div>" for work in self._works
        ]
        if self._name or self._end:
            bar = "" if self._end else f"{_bar(self._step, self._total)} "
            parts.append(
                f"<div>{bar}<b>{escape(one_line(self._name or 'run'))}</b>: {escape(self._state())}</div>"
            )
        if self._tasks:
            parts.append(_table(HEADINGS, self._rows()))
        return "".join(parts)

    def _text(self) -> str:
        lines = [*self._messages, *(work.text for work in self._works)]
        if self._name or self._end:
            lines.append(f"{self._name or 'run'}: {self._state()}")
        lines += [
            ", ".join(f"{heading} {cell}" for heading, cell in zip(HEADINGS, row, strict=True))
            for row in self._rows()
        ]
        return "\n".join(lines)


HEADINGS = ("task", "training loss", "weight", "first validation loss", "last", "best")


def _bar(done: int, total: int | None) -> str:
    if total is None:
        return "<progress></progress>"
    return f"<progress value='{done}' max='{max(1, total)}'></progress>"


def _table(headings: tuple[str, ...], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(one_line(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
