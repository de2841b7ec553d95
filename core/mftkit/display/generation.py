"""The display of rows being made: rows, counts, tokens, cost and the time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mftkit.base.formatting import one_line, whole
from mftkit.display.eta import Eta

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.reporting.generation_progress import GenerationProgress


class GenerationLine:
    """The line about a task whose rows are being made."""

    def __init__(self, state: GenerationProgress, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._eta = Eta(clock)
        self.description = one_line(f"{state.doing} {state.task}")

    def mark(self) -> None:
        """Rows were made. Rows from cached replies are not counted: they say nothing about the pace of others."""
        if not self._state.chats or self._state.usage.asked:
            self._eta.mark(self._state.rows)

    def rows(self) -> str:
        """Rows made, and the goal."""
        goal = self._state.goal
        return whole(self._state.rows) + (f" of {whole(goal)}" if goal is not None else "") + " rows"

    def facts(self) -> list[str]:
        """Everything except the rows."""
        facts = [self._state.counts_text(), self._state.cost_text(), self._eta.text(self._state.goal)]
        return [fact for fact in facts if fact]

    def text(self) -> str:
        """All of it on one line."""
        return one_line(f"{self.description}: " + "  ".join([self.rows(), *self.facts()]))
