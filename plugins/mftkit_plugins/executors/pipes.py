"""The pipes of a running command: input that is sent later, output that is read as it arrives."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_BLOCK = 1 << 16


class Pipes:
    """Standard input, and standard output and standard error up to a number of bytes together.

    One thread calls ``transfer`` and ``drain``; others may call the rest meanwhile.
    """

    def __init__(self, process: subprocess.Popen[bytes], most: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._input = process.stdin
        self._outputs = (process.stdout, process.stderr)
        self._left = most
        self._read = {pipe.fileno(): bytearray() for pipe in self._outputs}
        self._stdout = self._read[process.stdout.fileno()]
        self._waiting = bytearray()
        self._no_more = False
        self._woken, self._wake = os.pipe()
        self._selector = selectors.DefaultSelector()
        for descriptor in (process.stdin, *self._outputs):
            os.set_blocking(descriptor.fileno(), False)
        os.set_blocking(self._wake, False)
        for readable in (*self._outputs, self._woken):
            self._selector.register(readable, selectors.EVENT_READ)
        self._writing = False
        self._ended = False
        self._changed = threading.Condition()
        self.full = False

    def write(self, data: bytes) -> None:
        """Send ``data`` as soon as the command reads it; does not wait."""
        with self._changed:
            if self._no_more or self._ended:
                return
            self._waiting += data
            self._wake_up()

    def end_input(self) -> None:
        """Close standard input after what was sent."""
        with self._changed:
            if not self._no_more and not self._ended:
                self._no_more = True
                self._wake_up()

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is awake already
            os.write(self._wake, b"w")

    def line(self, start: int) -> bytes | None:
        """Wait for the line of standard output that begins at byte ``start``; None if none comes any more."""
        with self._changed:
            searched = start
            while (end := self._stdout.find(b"\n", searched)) < 0:
                if self._ended:
                    return None
                searched = len(self._stdout)
                self._changed.wait()
            return bytes(self._stdout[start:end])

    def open(self) -> bool:
        """Whether more output may come."""
        return any(pipe in self._selector.get_map() for pipe in self._outputs)

    def transfer(self, seconds: float) -> None:
        """Read and write what is possible now or within ``seconds``."""
        for key, _ in self._selector.select(seconds):
            if key.fd == self._woken:
                os.read(self._woken, _BLOCK)
            elif key.fileobj is not self._input:
                self._receive(key)
        self._send()

    def _receive(self, key: selectors.SelectorKey) -> None:
        block = os.read(key.fd, _BLOCK)
        if not block:
            self._selector.unregister(key.fileobj)
        with self._changed:
            self.full = self.full or len(block) > self._left
            self._read[key.fd] += block[: self._left]
            self._left -= min(len(block), self._left)
            self._changed.notify_all()

    def _send(self) -> None:
        if self._input.closed:
            return
        with self._changed:
            try:
                while self._waiting:
                    del self._waiting[: os.write(self._input.fileno(), self._waiting[:_BLOCK])]
            except BlockingIOError:
                pass
            except BrokenPipeError:  # it reads no more
                self._waiting.clear()
                self._no_more = True
            self._watch_input(bool(self._waiting))
            if self._no_more and not self._waiting:
                self._close_input()

    def _watch_input(self, waiting: bool) -> None:
        if waiting and not self._writing:
            self._selector.register(self._input, selectors.EVENT_WRITE)
        elif self._writing and not waiting:
            self._selector.unregister(self._input)
        self._writing = waiting

    def _close_input(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()

    def drain(self, until: float) -> None:
        """Read the rest, and close everything."""
        while self.open() and time.monotonic() < until:
            self.transfer(max(0.0, until - time.monotonic()))
        self._selector.close()
        with self._changed:
            self._ended = True
            self._close_input()
            for pipe in self._outputs:
                pipe.close()
            os.close(self._woken)
            os.close(self._wake)
            self._changed.notify_all()

    def texts(self) -> list[str]:
        """Standard output and standard error."""
        return [bytes(read).decode(errors="replace") for read in self._read.values()]
