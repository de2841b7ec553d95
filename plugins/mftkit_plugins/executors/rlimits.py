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
from mftkit_plugins.executors.control_groups import ControlGroup, parents
from mftkit_plugins.executors.directories import fresh_directory
from mftkit_plugins.executors.launch import (
    ENVIRONMENT,
    INODES,
    Lifeline,
    launcher,
    not_kept,
    standard_input,
    supervision,
)
from mftkit_plugins.executors.launcher import LANDLOCK_SCOPES, LANDLOCK_WRITES, landlock
from mftkit_plugins.executors.live_session import LiveSession
from mftkit_plugins.executors.supervisor import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit_plugins.executors.control_groups import Parent

FIRST_USER = 1_800_000_000
"""User ids from here on are not assigned by systems."""
_NAMESPACES = ("--net", "--ipc", "--pid", "--fork", "--kill-child=KILL")
_PRIVATE = "--mount"
_OWN_PROC = "--mount-proc"
"""Hides the processes outside; containers may forbid it."""
_SHARED = ("/tmp", "/var/tmp", "/dev/shm")
"""Directories that every user may write in: a program gets its own, in memory, where it can."""
_COUNTED_BY_NAMESPACE = (5, 14)
"""Linux version from which on RLIMIT_NPROC is counted per user namespace."""


class Rlimits(mftkit.Executor):
    """Runs programs as ordinary processes under kernel limits, which isolates weakly.

    Time, memory, processes and output are limited, and no process is left behind. If the system allows this user to
    create namespaces, there is no network, and its directory and those for temporary files are in memory. But a program
    can read what its user can read, and write where its user can write. Started by root, it runs as a user that has no
    files and no other processes.
    """

    strength = 100
    isolated = False

    def unavailable(self) -> str | None:
        """Run a test program."""
        if platform.system() != "Linux":
            return "it requires Linux"
        return None if _interpreter() else _interpreter_failure(sys.executable) or "no Python can be started"

    def not_kept(self) -> list[str]:
        """See ``mftkit.Executor``; what namespaces keep is not kept where the system allows none."""
        prefix, found = _namespaces(), [] if _groups() else not_kept()
        if not prefix:
            found += ["the network"]
            if os.geteuid() != 0 and landlock() < LANDLOCK_SCOPES:
                found += [
                    "this user's other processes: it can end them, and read their environment with its keys"
                ]
        if _PRIVATE not in prefix:
            found += ["the number and total size of its files"]
            if landlock() < LANDLOCK_WRITES:
                found += ["files that it leaves outside its directory"]
        elif open_to_all := _open_directories(_interpreter() or sys.executable):
            found += [f"files in {', '.join(open_to_all)}, where this Python is"]
        return found

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
    with (
        fresh_directory(user) as directory,
        ControlGroup(_groups(), limits) as group,
        Lifeline() as lifeline,
    ):
        mounts = _mounts(directory, user, limits, interpreter) if _PRIVATE in _namespaces() else []
        command = launcher(
            interpreter,
            program,
            _counted(limits),
            directory=directory,
            uid=user,
            mounts=mounts,
            confined=not mounts,
            supervise=supervision(lifeline.end, limits),
        )
        command[0] = sys.executable  # the supervisor keeps this process's user
        yield Supervised(
            [*_namespaces(), *command],
            limits,
            standard_input(program),
            environment={**ENVIRONMENT, "HOME": directory, "TMPDIR": directory},
            group=group,
            stop=lifeline.cut,
            pass_fds=(lifeline.end,),
        )


def _groups() -> tuple[Parent, ...]:
    """Return ``parents()``; none where a program could leave its group."""
    hidden = os.geteuid() == 0 or _PRIVATE in _namespaces() or landlock() >= LANDLOCK_WRITES
    return parents() if hidden else ()


def _mounts(
    directory: str, user: int | None, limits: mftkit.Limits, interpreter: str
) -> list[tuple[str, str]]:
    """Return the file systems in memory that a program gets: its directory, and those for temporary files."""
    owner = os.geteuid() if user is None else user
    bounds = f"size={limits.disk},nr_inodes={INODES}"
    left = _open_directories(interpreter)
    # A program of this user could leave its control group by writing there.
    hidden = dict.fromkeys(str(parent.mount) for parent in _groups())
    return [
        *((place, "nr_inodes=1,mode=0555") for place in hidden),
        *((place, f"{bounds},mode=1777") for place in _shared_directories() if place not in left),
        (directory, f"{bounds},mode=0700,uid={owner},gid={owner if user is not None else os.getegid()}"),
    ]


def _shared_directories() -> list[str]:
    places = (tempfile.gettempdir(), *_SHARED)
    return list(dict.fromkeys(os.path.realpath(place) for place in places if Path(place).is_dir()))


def _open_directories(interpreter: str) -> list[str]:
    """Return the directories for temporary files that a program shares with others, because its Python is in them."""
    needed = [interpreter]
    if interpreter == sys.executable:
        needed += [sys.prefix, sys.base_prefix, sys.exec_prefix]
    found = {at for each in needed for at in (Path(each).absolute(), Path(each).resolve())}
    return [place for place in _shared_directories() if any(at.is_relative_to(place) for at in found)]


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
    user = () if os.geteuid() == 0 else ("--user",)
    # Rights in the user namespace, for the launcher alone, to mount; the program gives them up.
    mapped = () if os.geteuid() == 0 else ("--user", "--map-current-user", "--keep-caps")
    trial = f"mount -t tmpfs none {_SHARED[0]}"
    for prefix, command in (
        ((*mapped, _PRIVATE, _OWN_PROC, *_NAMESPACES), ("sh", "-c", trial)),
        ((*mapped, _PRIVATE, *_NAMESPACES), ("sh", "-c", trial)),
        ((*user, _OWN_PROC, *_NAMESPACES), ("true",)),
        ((*user, *_NAMESPACES), ("true",)),
    ):
        if subprocess.run([unshare, *prefix, *command], capture_output=True, check=False).returncode == 0:
            return unshare, *prefix
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
