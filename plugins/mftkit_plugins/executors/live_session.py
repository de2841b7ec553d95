"""A program that is talked to while it runs; a thread reads its output and applies its limits meanwhile."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mftkit_plugins.executors.supervisor import Supervised

MOMENT = 1.0
"""Seconds that a program has to end after its standard input was closed."""


class LiveSession(mftkit.Session):
    """The session of a started program; ``started`` also holds what it needs until its end, such as its directory."""

    def __init__(self, started: AbstractContextManager[Supervised]) -> None:
        self._held = ExitStack()
        self._running = self._held.enter_context(started)
        self._taken = 0
        self._execution: mftkit.Execution | None = None
        self._error: BaseException | None = None
        # A daemon: if this process ends without closing, nobody has to wait for the program's time limit.
        self._watcher = threading.Thread(target=self._watch, name="mft-session", daemon=True)
        try:
            self._watcher.start()
        except BaseException:
            self._running.end()
            self._held.close()
            raise

    def _watch(self) -> None:
        try:
            self._execution = self._running.watch()
        except BaseException as error:  # raised again in the thread that talks
            self._error = error

    def send(self, line: str) -> None:
        """Send it as soon as the program reads; does not wait."""
        if "\n" in line:
            msg = f"a session sends one line at a time, but this text holds a newline: {line[:80]!r}"
            raise ValueError(msg)
        self._running.pipes.write(line.encode("utf-8", "surrogatepass") + b"\n")

    def receive(self) -> str | None:
        """Wait for the next line, at most until a limit."""
        line = self._running.pipes.line(self._taken)
        if line is None:
            return None
        self._taken += len(line) + 1
        return line.decode(errors="replace")

    def close(self) -> mftkit.Execution:
        """End it, and remove what it left."""
        self._running.close(MOMENT)
        self._watcher.join()
        self._held.close()
        if self._error is not None:
            raise self._error
        assert self._execution is not None
        return self._execution
