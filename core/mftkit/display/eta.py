"""How long the rest of a run takes, from the steps seen so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Eta:
    """Wall-clock pace since the first step seen: validation and checkpoints count, as they will again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def mark(self, step: int) -> None:
        """``step`` steps are done now."""
        self._last = (self._clock(), step)
        self._first = self._first or self._last

    def left(self, total: int) -> float | None:
        """Seconds from the last mark to step ``total``; None before a step was timed."""
        if self._first is None or self._last is None or self._last[1] <= self._first[1]:
            return None
        seconds, steps = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return max(0, total - self._last[1]) * seconds / steps
