"""The panel of a training run, redrawn in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mftkit.base.formatting import duration, nats, number, one_line, whole
from mftkit.display.lines import train_facts
from mftkit.display.tables import GAP, Flow, NumericTable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from mftkit.display.eta import Eta
    from mftkit.reporting.lines import TrainLine

OTHER_LINES = 7
"""Lines of the panel besides its tasks: bar, facts (some may wrap), header, number of hidden tasks."""


class TrainingPanel:
    """Progress bar, figures and tasks of the last train line."""

    def __init__(self, name: str, total: int, eta: Eta) -> None:
        self._name = one_line(name)
        self._total = total
        self._eta = eta
        self._started = time.monotonic()
        self._line: TrainLine | None = None

    def update(self, line: TrainLine) -> None:
        """Show this train line from now on."""
        self._line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what is known so far."""
        yield self._bar()
        if self._line is not None:
            yield Flow([Text(fact) for fact in train_facts(self._line)])
            yield self._tasks(self._line, max(1, console.size.height - OTHER_LINES))

    def _bar(self) -> RenderableType:
        step = self._line.step if self._line else 0
        spent = f"{duration(time.monotonic() - self._started)} so far"
        progress = f"{whole(step)}/{whole(self._total)}" if self._line else "starting"
        times = "  ".join(part for part in (progress, spent, self._eta.text(self._total)) if part)
        grid = Table.grid(padding=(0, GAP, 0, 0), expand=True)
        grid.add_column(overflow="fold", max_width=24)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        grid.add_row(
            Text(self._name, style="bold"),
            ProgressBar(total=self._total, completed=step, pulse=self._line is None),
            Text(times),
        )
        return grid

    @staticmethod
    def _tasks(line: TrainLine, room: int) -> RenderableType:
        rows = [
            [name, nats(task.loss), number(task.weight, ".3f"), whole(task.tokens), whole(task.samples)]
            for name, task in line.tasks.items()
        ]
        table = NumericTable(["task", "loss", "weight", "tokens", "samples"], rows[:room])
        hidden = len(rows) - room
        return Group(table, Text(f"and {hidden} more tasks", style="dim")) if hidden > 0 else table
