"""Trying again: with waits that grow, a little at random, and that a server may set for all requests."""

from __future__ import annotations

import random
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = 0.5
"""Seconds before the first second try; each later wait is twice the one before."""
JITTER = 0.25
"""Share of a wait that is drawn, so that requests that failed together do not come again together."""
BETWEEN = 15.0
"""Seconds between two lines to the user."""

Result = TypeVar("Result")


class Passing(Exception):  # noqa: N818 - no error yet
    """A failure that may pass.

    ``wait`` is the server's Retry-After, seconds or a date, if it gave one; ``crowded`` says that the server
    is well, and has too many requests.
    """

    def __init__(self, what: str, wait: str | None = None, *, crowded: bool = False) -> None:
        super().__init__(what)
        self.wait = None if wait is None else _seconds(wait)
        self.crowded = crowded


class Retries:
    """Runs requests of several threads, and tries again those that fail for a reason that may pass."""

    def __init__(self, where: str, retries: int, longest: float, tell: Callable[[str], None]) -> None:
        self._where = where
        self._retries = retries
        self._longest = longest
        self._tell = tell
        self._lock = threading.Lock()
        self._until = 0.0  # no request is made before
        self._told = -BETWEEN
        self._answers = 0
        self._stopped = threading.Event()

    def run(self, ask: Callable[[], Result]) -> Result:
        """The result of ``ask``. Raises ChatError once it has failed too often.

        Where there are too many requests, and others are answered between its tries, it only waits its turn.
        """
        tries = seen = 0
        while True:
            self._wait()
            try:
                result = ask()
            except Passing as failure:
                if failure.crowded and self._answers > seen:
                    tries = 0
                seen = self._answers
                self._failed(failure, tries)
                tries += 1
            else:
                with self._lock:
                    self._answers += 1
                return result

    def tell(self, line: str) -> None:
        """Show a line, whatever was told before."""
        self._tell(line)

    def stop(self) -> None:
        """End what waits: the generation is over."""
        self._stopped.set()

    def _wait(self) -> None:
        """Until the server wants requests again, a little apart from the other threads."""
        left = self._until - time.monotonic()
        if left > 0:
            self._sleep(left * (1 + JITTER * random.random()))

    def _failed(self, failure: Passing, tries: int) -> None:
        """Wait before the next try; raises ChatError where there is none."""
        if failure.wait is not None and failure.wait > self._longest:
            raise mftkit.ChatError(
                f"{self._where} asks to wait {failure.wait:.0f} s, longer than longest_wait ({self._longest:g} s): "
                f"{failure}; what was answered is kept: run again later to go on",
                1,
            ) from None
        if tries == self._retries:
            raise self._given_up(failure) from None
        wait = min(FIRST * 2**tries, self._longest) * (1 - JITTER * random.random())
        if failure.wait is not None:
            wait = max(failure.wait, 0.0)
            with self._lock:
                self._until = max(self._until, time.monotonic() + wait)
        self._tell_at_times(f"{self._where}: {failure}; trying again in {wait:.1f} s")
        self._sleep(wait)

    def _given_up(self, failure: Passing) -> mftkit.ChatError:
        tried = f"{self._retries + 1} tries" if self._retries else "1 try"
        if self._answers:
            what = f"{self._where} no longer answers ({tried}): {failure}"
            return mftkit.ChatError(f"{what}; what was answered is kept: run again to go on from here", 1)
        return mftkit.ChatError(f"{self._where} does not answer ({tried}): {failure}; is base_url right?")

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise mftkit.ChatError("the generation is over", 1)

    def _tell_at_times(self, line: str) -> None:
        with self._lock:
            now = time.monotonic()
            due, self._told = (True, now) if now - self._told >= BETWEEN else (False, self._told)
        if due:
            self._tell(line)


def _seconds(header: str) -> float | None:
    """A Retry-After header in seconds from now; None where it is neither seconds nor a date."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        except (ValueError, TypeError):
            return None
    return seconds if 0 <= seconds < float("inf") else None
