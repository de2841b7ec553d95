"""Runs a command and ends it when it exceeds its limits on time, output or memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import mftkit
from mftkit_plugins.executors.pipes import Pipes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mftkit_plugins.executors.control_groups import ControlGroup

MEMORY_CHECK_EVERY = 0.1
"""Seconds between two checks of the memory in use."""
PATIENCE = 5.0
"""Seconds that a command has to end after it was asked to."""
_KIB = 1024
How = Literal["exited", "time", "memory", "output"]


class Supervised:
    """A started command with its pipes; ``watch`` applies the limits and must be called, in any thread."""

    def __init__(
        self,
        command: Sequence[str],
        limits: mftkit.Limits,
        stdin: bytes,
        *,
        environment: Mapping[str, str],
        group: ControlGroup,
        stop: Callable[[], None] | None = None,
        memory_code: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start ``command`` in ``group`` and send it ``stdin``; ``stop`` asks it to end (default: it is killed).

        ``memory_code`` is the exit code by which the command reports that its memory was used up.
        """
        self._limits = limits
        self._group = group
        self._memory_code = memory_code
        self._stop = stop
        self._started = time.monotonic()
        self._until = self._started + limits.seconds
        self._closed = float("inf")
        self._process = subprocess.Popen(
            group.entering(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self.pipes = Pipes(self._process, limits.output)
        self.pipes.write(stdin)

    def run(self) -> mftkit.Execution:
        """Send no more, and watch it until its end."""
        self.pipes.end_input()
        return self.watch()

    def close(self, seconds: float) -> None:
        """Send no more, and give it that much time to end; from any thread, while another one watches."""
        self._closed = time.monotonic() + seconds
        self.pipes.end_input()

    def watch(self) -> mftkit.Execution:
        """Wait until it ends or exceeds a limit, and return its result."""
        try:
            how = self._until_end()
        except BaseException:
            self.end()
            self.pipes.drain(time.monotonic())  # whoever waits for a line must not wait forever
            raise
        if self._process.poll() is None:
            self.end()
        self.pipes.drain(time.monotonic() + PATIENCE)
        code = self._process.wait()
        if how == "exited" and (code == self._memory_code or self._group.out_of_memory()):
            how, code = "memory", 128 + signal.SIGKILL
        if how == "exited" and code == 128 + signal.SIGXCPU:
            how = "time"
        code = 128 - code if code < 0 else code
        stdout, stderr = self.pipes.texts()
        return mftkit.Execution(how, code, stdout, stderr, time.monotonic() - self._started)

    def _until_end(self) -> How:
        next_check = time.monotonic() + MEMORY_CHECK_EVERY
        while self.pipes.open() or self._process.poll() is None:
            now = time.monotonic()
            if now >= min(self._until, self._closed):
                return "time" if now >= self._until else "exited"
            if now >= next_check:
                if self._group.out_of_memory() or self._resident() > self._limits.memory:
                    return "memory"
                next_check = now + MEMORY_CHECK_EVERY
            self._wait(max(0.0, min(self._until, self._closed, next_check) - now))
            if self.pipes.full:
                return "output"
        return "exited"

    def _resident(self) -> int:
        return resident(self._process.pid, self._limits.memory)

    def _wait(self, seconds: float) -> None:
        if self.pipes.open():
            self.pipes.transfer(seconds)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed its output, but may still run
            self._process.wait(seconds)

    def end(self) -> None:
        """Ask it to end if that is possible, then kill it."""
        if self._stop is not None:
            self._stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def resident(pid: int, most: int = 0) -> int:
    """Return the memory of a process and all its descendants in bytes, without pages of files but with shared memory.

    Memory that several processes map is divided among them, unless the whole is at most ``most`` even without that.
    """
    places = _descendants(pid)
    whole = sum(map(_whole, places))
    return whole if whole <= most else sum(map(_share, places))


def _descendants(pid: int) -> list[Path]:
    found, waiting = [], [pid]
    while waiting:
        place = Path("/proc", str(waiting.pop()))
        found.append(place)
        with contextlib.suppress(OSError):  # the process has ended
            for thread in place.joinpath("task").iterdir():
                waiting += [int(child) for child in thread.joinpath("children").read_text().split()]
    return found


def _share(place: Path) -> int:
    """Return the process's share of its memory; all of it if this user may not read the share."""
    try:
        return _sum(place.joinpath("smaps_rollup"), ("Pss_Anon:", "Pss_Shmem:", "SwapPss:"))
    except OSError:  # it also has ended, or its first thread has
        return _whole(place)


def _whole(place: Path) -> int:
    keys = ("RssAnon:", "RssShmem:", "VmSwap:")
    with contextlib.suppress(OSError):  # the process has ended
        if found := _sum(place.joinpath("status"), keys):
            return found
        # Its first thread has ended, and the others hold its memory.
        return max(
            (_sum(thread.joinpath("status"), keys) for thread in place.joinpath("task").iterdir()), default=0
        )
    return 0


def _sum(file: Path, keys: tuple[str, ...]) -> int:
    lines = file.read_text().splitlines()
    return sum(int(line.split()[1]) * _KIB for line in lines if line.startswith(keys))
