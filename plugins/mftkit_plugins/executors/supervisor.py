"""Runs a command and ends it when it exceeds its limits on time, output or memory."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MEMORY_CHECK_EVERY = 0.1
"""Seconds between two checks of the memory in use."""
PATIENCE = 5.0
"""Seconds that a command has to end after it was asked to."""
_BLOCK = 1 << 16
_PAGE = os.sysconf("SC_PAGE_SIZE")
How = Literal["exited", "time", "memory", "output"]


def run_supervised(
    command: Sequence[str],
    limits: mftkit.Limits,
    *,
    stdin: IO[bytes],
    environment: Mapping[str, str],
    stop: Callable[[], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> mftkit.Execution:
    """Run ``command`` until it ends or exceeds a limit; ``stop`` asks it to end (default: it is killed)."""
    started = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
        pass_fds=pass_fds,
    ) as process:
        pipes = _Pipes(process, limits.output)
        try:
            how = _until_end(process, pipes, limits, started + limits.seconds)
        except BaseException:
            _end(process, stop)
            raise
        if how != "exited":
            _end(process, stop)
        pipes.drain(time.monotonic() + PATIENCE)
        code = process.wait()
    if how == "exited" and code == 128 + signal.SIGXCPU:
        how = "time"
    code = 128 - code if code < 0 else code
    stdout, stderr = pipes.texts()
    return mftkit.Execution(how, code, stdout, stderr, time.monotonic() - started)


def _until_end(process: subprocess.Popen[bytes], pipes: _Pipes, limits: mftkit.Limits, until: float) -> How:
    next_check = time.monotonic() + MEMORY_CHECK_EVERY
    while pipes.open():
        now = time.monotonic()
        if now >= until:
            return "time"
        if now >= next_check:
            if resident(process.pid) > limits.memory:
                return "memory"
            next_check = now + MEMORY_CHECK_EVERY
        pipes.read(max(0.0, min(until, next_check) - now))
        if pipes.full:
            return "output"
    try:  # it closed its output, but may still run
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "time"
    return "exited"


def _end(process: subprocess.Popen[bytes], stop: Callable[[], None] | None) -> None:
    if stop is not None:
        stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Pipes:
    """Standard output and standard error, read as they arrive, up to a number of bytes together."""

    def __init__(self, process: subprocess.Popen[bytes], most: int) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._left = most
        self._read: dict[int, bytearray] = {}
        self._selector = selectors.DefaultSelector()
        for pipe in (process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)
            self._read[pipe.fileno()] = bytearray()
        self.full = False

    def open(self) -> bool:
        return bool(self._selector.get_map())

    def read(self, seconds: float) -> None:
        """Read what is available or arrives within ``seconds``."""
        for key, _ in self._selector.select(seconds):
            block = os.read(key.fd, _BLOCK)
            if not block:
                self._selector.unregister(key.fileobj)
            self.full = self.full or len(block) > self._left
            self._read[key.fd] += block[: self._left]
            self._left -= min(len(block), self._left)

    def drain(self, until: float) -> None:
        """Read the rest."""
        while self.open() and time.monotonic() < until:
            self.read(max(0.0, until - time.monotonic()))
        self._selector.close()

    def texts(self) -> list[str]:
        return [bytes(read).decode(errors="replace") for read in self._read.values()]


def resident(pid: int) -> int:
    """Return the memory of a process and all its descendants in bytes, without pages of files."""
    total = 0
    waiting = [pid]
    while waiting:
        found = Path("/proc", str(waiting.pop()))
        with contextlib.suppress(OSError, ValueError):  # the process has ended
            _, all_pages, of_files = found.joinpath("statm").read_text().split()[:3]
            total += (int(all_pages) - int(of_files)) * _PAGE
            for thread in found.joinpath("task").iterdir():
                waiting += [int(child) for child in thread.joinpath("children").read_text().split()]
    return total
