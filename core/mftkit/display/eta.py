"""Time left of a piece of work, from its pace so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mftkit.base.formatting import duration

if TYPE_CHECKING:
    from collections.abc import Callable


class Eta:
    """Wall-clock pace since the first mark; a run's validations and checkpoints count, since more of them follow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def mark(self, done: int) -> None:
        """``done`` steps, or other items, are done now."""
        self._last = (self._clock(), done)
        self._first = self._first or self._last

    def left(self, total: int | None) -> float | None:
        """Seconds from the last mark until ``total`` are done; None where that is not known yet."""
        if total is None or self._first is None or self._last is None or self._last[1] <= self._first[1]:
            return None
        seconds, done = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return max(0, total - self._last[1]) * seconds / done

    def text(self, total: int | None) -> str:
        """The time left, as "0:12:05 left"; empty where it is not known yet."""
        left = self.left(total)
        return "" if left is None else f"{duration(left)} left"
