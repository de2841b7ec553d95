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
"""Seconds before the second attempt; each further wait is twice as long."""
JITTER = 0.25
"""Random share of a wait, so that requests that failed together are not repeated together."""
BETWEEN = 15.0
"""Seconds between two messages to the user."""

Result = TypeVar("Result")


class Passing(Exception):  # noqa: N818 - no error yet
    """A failure that may be temporary.

    ``wait`` is the server's Retry-After header, seconds or a date, if it sent one; ``crowded`` means that the server
    works but has too many requests.
    """

    def __init__(self, what: str, wait: str | None = None, *, crowded: bool = False) -> None:
        super().__init__(what)
        self.wait = None if wait is None else _seconds(wait)
        self.crowded = crowded


class Retries:
    """Runs requests of several threads, and repeats those that fail for a reason that may be temporary."""

    def __init__(self, where: str, retries: int, longest: float, tell: Callable[[str], None]) -> None:
        self._where = where
        self._retries = retries
        self._longest = longest
        self._tell = tell
        self._lock = threading.Lock()
        self._until = 0.0  # no request is sent before
        self._last_message = -BETWEEN
        self._answers = 0
        self._stopped = threading.Event()

    def run(self, ask: Callable[[], Result]) -> Result:
        """Return the result of ``ask``. Raises ChatError once it has failed too often.

        If the server has too many requests but answers others between the attempts, attempts are not counted.
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
        """Show a message now."""
        self._tell(line)

    def stop(self) -> None:
        """End all waits: the generation is over."""
        self._stopped.set()

    def _wait(self) -> None:
        """Wait until the server accepts requests again, at a slightly different time in each thread."""
        left = self._until - time.monotonic()
        if left > 0:
            self._sleep(left * (1 + JITTER * random.random()))

    def _failed(self, failure: Passing, tries: int) -> None:
        """Wait before the next attempt. Raises ChatError if there is none."""
        if failure.wait is not None and failure.wait > self._longest:
            raise mftkit.ChatError(
                f"{self._where} asks to wait {failure.wait:.0f} s, longer than longest_wait ({self._longest:g} s): "
                f"{failure}; all replies so far are kept: run again later to continue",
                1,
            ) from None
        if tries == self._retries:
            raise self._given_up(failure) from None
        wait = min(FIRST * 2**tries, self._longest) * (1 - JITTER * random.random())
        if failure.wait is not None:
            wait = max(failure.wait, 0.0)
            with self._lock:
                self._until = max(self._until, time.monotonic() + wait)
        self._tell_rarely(f"{self._where}: {failure}; trying again in {wait:.1f} s")
        self._sleep(wait)

    def _given_up(self, failure: Passing) -> mftkit.ChatError:
        attempts = f"{self._retries + 1} attempts" if self._retries else "1 attempt"
        if self._answers:
            what = f"{self._where} no longer responds ({attempts}): {failure}"
            return mftkit.ChatError(f"{what}; all replies so far are kept: run again to continue", 1)
        return mftkit.ChatError(f"{self._where} does not respond ({attempts}): {failure}; check base_url")

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise mftkit.ChatError("the generation is over", 1)

    def _tell_rarely(self, line: str) -> None:
        with self._lock:
            now = time.monotonic()
            due, self._last_message = (
                (True, now) if now - self._last_message >= BETWEEN else (False, self._last_message)
            )
        if due:
            self._tell(line)


def _seconds(header: str) -> float | None:
    """Return a Retry-After header in seconds from now, or None if it is neither seconds nor a date."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        except (ValueError, TypeError):
            return None
    return seconds if 0 <= seconds < float("inf") else None
