"""Starts several processes of one run on this machine, and ends them together.

torchrun does the same except for two things that a run needs: the exit code of the process that failed, and enough
time after a signal to save a checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mftkit.base.threads import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

POLL = 0.05
"""Seconds between two checks of the processes."""
INVALID_INPUT = 2
"""The exit code for an invalid spec, data or plugin."""
GRACE = 30.0
"""Seconds that the others have, after one has failed, to notice and to record it in the metrics."""
NOTICES, LAUNCHER = "MFT_LAUNCHER_NOTICES", "MFT_LAUNCHER_PID"
"""Variables of the processes: where the launcher says how one of them has ended, and the launcher's process id."""
LAST_LINES = 20
"""Lines of a process's messages that a notice repeats."""
SAVING = 45.0
"""Seconds that a process whose launcher is gone has to save a checkpoint."""


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run ``mft`` with these arguments in several processes; returns the exit code of the first that failed, or 0.

    The first process prints its messages; those of another are shown only if it failed first. A signal to this
    process is passed on once to each of them: they save, and exit with their code.
    """
    with ExitStack() as stack:
        quiet = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(processes - 1)]
        notices = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mft-")))
        children = _start(arguments, processes, quiet, notices)
        before = {
            number: signal.signal(number, _SignalForwarder(children))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            first, code = _wait(children, quiet, notices)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            _end(children)
        # Invalid input is the same in all processes, and the first has reported it.
        is_reported = code == INVALID_INPUT and children[0].returncode == code
        if first and not is_reported:
            sys.stderr.write(_messages(quiet[first - 1]))
        if code < 0:
            sys.stderr.write(f"process {first} of {processes} was ended by {signal.Signals(-code).name}\n")
        return code if code >= 0 else 128 - code


def end_with_launcher() -> None:
    """Stop this process if the launcher that started it is killed; nothing without a launcher.

    It saves, as after any other SIGTERM, and has ``SAVING`` seconds for that.
    """
    launcher = os.environ.pop(LAUNCHER, None)  # a process that this one starts has another parent
    if launcher is None:
        return

    def watch() -> None:
        while os.getppid() == int(launcher):
            time.sleep(5 * POLL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SAVING)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="mftkit launcher", daemon=True).start()


def _start(
    arguments: Sequence[str], count: int, quiet: Sequence[IO[bytes]], notices: Path
) -> list[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        NOTICES: str(notices),
        LAUNCHER: str(os.getpid()),
    }
    environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // count)))
    return [
        subprocess.Popen(
            [sys.executable, "-m", "mftkit.cli", *arguments],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=None if rank == 0 else quiet[rank - 1],
            # Out of the terminal's process group: Ctrl-C reaches only this process, which passes it on once.
            start_new_session=True,
        )
        for rank in range(count)
    ]


def _messages(file: IO[bytes]) -> str:
    """What a process has written to its standard error so far; it writes where the file's position is."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def _leave_notice(notices: Path, rank: int, code: int, messages: str) -> None:
    """Say how a process ended, for the message of those that are left; a whole notice or none is there."""
    notice = {"code": code, "lines": messages.splitlines()[-LAST_LINES:]}
    partial = notices / f".{rank}.json"
    with suppress(OSError):
        partial.write_text(json.dumps(notice), encoding="utf-8")
        partial.replace(notices / f"{rank}.json")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _SignalForwarder:
    """Passes a signal on to every child that is still running."""

    def __init__(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        self._children = children

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                child.send_signal(number)


def _wait(
    children: Sequence[subprocess.Popen[bytes]], quiet: Sequence[IO[bytes]], notices: Path
) -> tuple[int, int]:
    """Rank and exit code of the first process that failed, or (0, 0) once all are done."""
    while True:
        codes = [child.poll() for child in children]
        failed = [(rank, code) for rank, code in enumerate(codes) if code]
        for rank, code in failed:
            _leave_notice(notices, rank, code, _messages(quiet[rank - 1]) if rank else "")
        if failed:
            return next((end for end in failed if end[1] < 0), failed[0])  # a killed one has ended the others
        if all(code == 0 for code in codes):
            return 0, 0
        time.sleep(POLL)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let the others end by themselves, then end them."""
    deadline = time.monotonic() + GRACE
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        time.sleep(POLL)
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()
