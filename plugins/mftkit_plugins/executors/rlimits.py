"""Limits of the kernel alone, with namespaces for network and processes where the system gives them."""

from __future__ import annotations

import functools
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import mftkit
from mftkit_plugins.executors.availability import why_not
from mftkit_plugins.executors.launch import ENVIRONMENT, Lifeline, launcher, standard_input
from mftkit_plugins.executors.supervisor import PATIENCE, watched

FIRST_USER = 1_800_000_000
"""Beyond what systems give to users."""
_NAMESPACES = ("--net", "--ipc", "--pid", "--fork", "--kill-child=KILL")
_COUNTED_BY_NAMESPACE = (5, 14)
"""Linux that counts RLIMIT_NPROC in each user namespace by itself."""


class Rlimits(mftkit.Executor):
    """Runs programs as ordinary processes under the kernel's limits; a weak isolation.

    Time, memory, processes and output are bounded, and no process is left behind. Where the system gives namespaces to
    this user, there is no network. But a program reads what its user can read, and writes where its user can write.
    Started by root, it runs as a user that has no files and no other processes.
    """

    strength = 100
    isolated = False

    def unavailable(self) -> str | None:
        """Tries a program."""
        if platform.system() != "Linux":
            return "it is of Linux"
        return None if _interpreter() else _why()

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        """Run in a directory among the temporary ones, removed afterwards."""
        return _run(_interpreter() or sys.executable, program, limits)


def _run(interpreter: str, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
    user = FIRST_USER + secrets.randbelow(1 << 28) if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="mft-program-", ignore_cleanup_errors=True) as directory:
        if user is not None:
            os.chown(directory, user, user)
        with Lifeline() as lifeline, standard_input(program) as stdin:
            command = launcher(
                interpreter,
                program,
                _counted(limits),
                directory=directory,
                uid=user,
                # Longer than our own clock: it counts only where we are not there any more.
                supervise={"lifeline": lifeline.end, "seconds": limits.seconds + PATIENCE},
            )
            command[0] = sys.executable  # the supervisor stays whoever we are
            return watched(
                [*_namespaces(), *command],
                limits,
                stdin=stdin,
                environment={**ENVIRONMENT, "HOME": directory, "TMPDIR": directory},
                stop=lifeline.cut,
                pass_fds=(lifeline.end,),
            )


def _counted(limits: mftkit.Limits) -> mftkit.Limits:
    """With the processes that the user has already, where the kernel counts them too."""
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
            except OSError:  # it has ended
                continue
    return total


@functools.cache
def _namespaces() -> tuple[str, ...]:
    """What puts a command in namespaces of its own; nothing where the system does not allow that."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (unshare, *(() if os.geteuid() == 0 else ("--user",)), *_NAMESPACES)
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else ()


@functools.cache
def _interpreter() -> str | None:
    """A Python that a program's user can start: this one, or else the system's."""
    return next((found for found in _interpreters() if _why_not(found) is None), None)


def _interpreters() -> list[str]:
    others = [shutil.which(name, path=ENVIRONMENT["PATH"]) for name in ("python3", "python")]
    return list(dict.fromkeys([sys.executable, *(found for found in others if found)]))


def _why() -> str:
    return _why_not(sys.executable) or "no Python can be started"


def _why_not(interpreter: str) -> str | None:
    return why_not(_With(interpreter))


class _With(mftkit.Executor):
    """The executor with one interpreter, to be tried."""

    def __init__(self, interpreter: str) -> None:
        super().__init__(mftkit.Options())
        self.interpreter = interpreter

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        return _run(self.interpreter, program, limits)
