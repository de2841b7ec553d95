"""bubblewrap: kernel namespaces, without a daemon and without an image."""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.executors.availability import failure_of
from mftkit_plugins.executors.control_groups import ControlGroup, parents
from mftkit_plugins.executors.launch import (
    ENVIRONMENT,
    Lifeline,
    launcher,
    not_kept,
    standard_input,
    supervision,
)
from mftkit_plugins.executors.live_session import LiveSession
from mftkit_plugins.executors.supervisor import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = "/program"
_IN_MEMORY = ("/dev/shm", "/tmp", HOME)
FIRST_USER = 1_500_000_000
"""User ids from here on are not assigned by systems."""
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
_OF_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


class Bubblewrap(mftkit.Executor):
    """Runs programs in bwrap, each in its own namespaces.

    A program sees the system's programs and libraries and this Python, all read-only, and its own directory in memory.
    It sees no network, no other processes, no home directory and no environment variables. Started by root, it runs
    as a user that has no other processes.
    """

    strength = 300
    isolated = True

    class Options(mftkit.Options):
        """Options of ``bubblewrap``."""

        readable: tuple[mftkit.SpecLocation, ...] = ()
        """Additional directories or files that programs may read, under the same paths."""

    options: Options

    def unavailable(self) -> str | None:
        """Run a test program."""
        return "bwrap is not installed" if _bwrap() is None else _tried(self)

    def not_kept(self) -> list[str]:
        """See ``mftkit.Executor``."""
        return [] if parents() else not_kept()

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        """Run in new namespaces, which end with the program."""
        with self._started(program, limits) as running:
            return running.run()

    def open(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Session:
        """Start it in new namespaces, and talk to it."""
        return LiveSession(self._started(program, limits))

    @contextmanager
    def _started(self, program: mftkit.Program, limits: mftkit.Limits) -> Iterator[Supervised]:
        user = FIRST_USER + secrets.randbelow(1 << 28) if os.geteuid() == 0 else None
        with ControlGroup(parents(), limits) as group, Lifeline() as lifeline:
            inside = launcher(
                sys.executable,
                program,
                # The supervisor counts as a process if it has the program's user.
                replace(limits, processes=limits.processes + (user is None)),
                directory=HOME,
                uid=user,
                # bwrap's own --die-with-parent misses a parent that dies while bwrap starts.
                supervise=supervision(lifeline.end, limits, _IN_MEMORY),
            )
            yield Supervised(
                [*self.namespaces(limits), "--", *inside],
                limits,
                standard_input(program),
                environment={"PATH": os.environ.get("PATH", "")},
                group=group,
                pass_fds=(lifeline.end,),
            )

    def namespaces(self, limits: mftkit.Limits) -> list[str]:
        """Return bwrap's command line up to the program's."""
        root = os.geteuid() == 0
        # Root needs no user namespace and gives up its rights for good; other users need one to have any rights.
        rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        sized = ["--size", str(limits.disk), "--perms", "1777", "--tmpfs"]
        in_memory = [word for place in _IN_MEMORY for word in (*sized, place)]
        return [
            str(_bwrap()),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *(rights if root else ["--unshare-user"]),
            *("--die-with-parent", "--new-session", "--clearenv", "--hostname", "program"),
            *self._environment(),
            *("--ro-bind", "/usr", "/usr"),
            *_system(),
            *("--proc", "/proc", "--dev", "/dev", *in_memory),
            *self._readable(),  # after /tmp, because a place may be below it
            *("--remount-ro", "/dev", "--remount-ro", "/"),
        ]

    def _environment(self) -> Iterator[str]:
        for name, value in {**ENVIRONMENT, "HOME": HOME, "TMPDIR": "/tmp"}.items():
            yield from ("--setenv", name, value)

    def _readable(self) -> Iterator[str]:
        places = [sys.prefix, sys.base_prefix, sys.exec_prefix, *map(str, self.options.readable)]
        for place in dict.fromkeys(path for given in places for path in (given, os.path.realpath(given))):
            if not Path(place).is_relative_to("/usr"):
                for above in reversed(Path(place).parents[:-1]):
                    yield from ("--perms", "0755", "--dir", str(above))  # otherwise only root could enter it
                yield from ("--ro-bind", place, place)


def _system() -> Iterator[str]:
    for name in _SYSTEM:
        place = Path(name)
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), name)
        elif place.exists():
            yield from ("--ro-bind", name, name)
    yield from ("--perms", "0755", "--dir", "/etc")  # otherwise only root could enter it
    for name in _OF_ETC:
        yield from ("--ro-bind-try", name, name)


@functools.cache
def _bwrap() -> str | None:
    return shutil.which("bwrap")


@functools.cache
def _tried_once(readable: tuple[Path, ...]) -> str | None:
    return failure_of(Bubblewrap(Bubblewrap.Options(readable=readable)))


def _tried(executor: Bubblewrap) -> str | None:
    return _tried_once(executor.options.readable)
