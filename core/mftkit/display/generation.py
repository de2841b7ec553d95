"""What a person sees while rows are made: rows, counts, tokens, cost, and the time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mftkit.base.formatting import duration, one_line, whole
from mftkit.display.eta import Eta

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.reporting.generation_progress import GenerationProgress


class GenerationLine:
    """The line about a generation, and how long it goes on."""

    def __init__(self, state: GenerationProgress, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._pace = Eta(clock)
        self.description = one_line(f"{state.doing} {state.task}")

    def mark(self) -> None:
        """Rows were made. Those whose replies were on the disk say nothing about the pace of others."""
        if not self._state.chats or self._state.usage.asked:
            self._pace.mark(self._state.rows)

    def rows(self) -> str:
        """Rows, of how many."""
        goal = self._state.goal
        return whole(self._state.rows) + (f" of {whole(goal)}" if goal is not None else "") + " rows"

    def facts(self) -> list[str]:
        """Everything but the rows."""
        goal = self._state.goal
        left = None if goal is None else self._pace.left(goal)
        told = [self._state.counts_text(), self._state.cost_text()]
        return [part for part in (*told, f"left {duration(left)}" if left is not None else "") if part]

    def text(self) -> str:
        """All of it on one line."""
        return one_line(f"{self.description}: " + "  ".join([self.rows(), *self.facts()]))
