"""Kernel limits alone, with namespaces for network and processes if the system allows them."""

from __future__ import annotations

import functools
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.executors.availability import failure_of
from mftkit_plugins.executors.launch import ENVIRONMENT, Lifeline, launcher, standard_input
from mftkit_plugins.executors.live_session import LiveSession
from mftkit_plugins.executors.supervisor import PATIENCE, Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_USER = 1_800_000_000
"""User ids from here on are not assigned by systems."""
_NAMESPACES = ("--net", "--ipc", "--pid", "--fork", "--kill-child=KILL")
_OWN_PROC = "--mount-proc"
"""Hides the processes outside; containers may forbid it."""
_COUNTED_BY_NAMESPACE = (5, 14)
"""Linux version from which on RLIMIT_NPROC is counted per user namespace."""


class Rlimits(mftkit.Executor):
    """Runs programs as ordinary processes under kernel limits, which isolates weakly.

    Time, memory, processes and output are limited, and no process is left behind. If the system allows this user to
    create namespaces, there is no network. But a program can read what its user can read, and write where its user can
    write. Started by root, it runs as a user that has no files and no other processes.
    """

    strength = 100
    isolated = False

    def unavailable(self) -> str | None:
        """Run a test program."""
        if platform.system() != "Linux":
            return "it requires Linux"
        return None if _interpreter() else _interpreter_failure(sys.executable) or "no Python can be started"

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        """Run in a temporary directory, which is removed afterwards."""
        with _started(_interpreter() or sys.executable, program, limits) as running:
            return running.run()

    def open(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Session:
        """Start it in a temporary directory, and talk to it."""
        return LiveSession(_started(_interpreter() or sys.executable, program, limits))


@contextmanager
def _started(interpreter: str, program: mftkit.Program, limits: mftkit.Limits) -> Iterator[Supervised]:
    user = FIRST_USER + secrets.randbelow(1 << 28) if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="mft-program-", ignore_cleanup_errors=True) as directory:
        if user is not None:
            os.chown(directory, user, user)
        with Lifeline() as lifeline:
            command = launcher(
                interpreter,
                program,
                _counted(limits),
                directory=directory,
                uid=user,
                # Longer than this process's own limit: it matters only if this process has died.
                supervise={"lifeline": lifeline.end, "seconds": limits.seconds + PATIENCE},
            )
            command[0] = sys.executable  # the supervisor keeps this process's user
            yield Supervised(
                [*_namespaces(), *command],
                limits,
                standard_input(program),
                environment={**ENVIRONMENT, "HOME": directory, "TMPDIR": directory},
                stop=lifeline.cut,
                pass_fds=(lifeline.end,),
            )


def _counted(limits: mftkit.Limits) -> mftkit.Limits:
    """Return the limits plus the processes that the user already has, if the kernel counts them too."""
    version = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if os.geteuid() == 0 or (_namespaces() and version >= _COUNTED_BY_NAMESPACE):
        return limits
    return replace(limits, processes=limits.processes + _threads_of(os.getuid()))


def _threads_of(user: int) -> int:
    total = 0
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if place.stat().st_uid == user:
                    total += sum(1 for _ in place.joinpath("task").iterdir())
            except OSError:  # the process has ended
                continue
    return total


@functools.cache
def _namespaces() -> tuple[str, ...]:
    """Return the command prefix for separate namespaces; empty if the system does not allow them."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (unshare, *(() if os.geteuid() == 0 else ("--user",)), *_NAMESPACES)
    for tried in ((*prefix, _OWN_PROC), prefix):
        if subprocess.run([*tried, "true"], capture_output=True, check=False).returncode == 0:
            return tried
    return ()


@functools.cache
def _interpreter() -> str | None:
    """Return a Python that a program's user can start: this one, otherwise the system's."""
    return next((found for found in _interpreters() if _interpreter_failure(found) is None), None)


def _interpreters() -> list[str]:
    others = [shutil.which(name, path=ENVIRONMENT["PATH"]) for name in ("python3", "python")]
    return list(dict.fromkeys([sys.executable, *(found for found in others if found)]))


def _interpreter_failure(interpreter: str) -> str | None:
    return failure_of(_WithInterpreter(interpreter))


class _WithInterpreter(mftkit.Executor):
    """The executor with one interpreter, for testing it."""

    def __init__(self, interpreter: str) -> None:
        super().__init__(mftkit.Options())
        self.interpreter = interpreter

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        with _started(self.interpreter, program, limits) as running:
            return running.run()
