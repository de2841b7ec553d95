"""Control groups: bounds on all memory and processes of a program, where this process may make groups."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import mftkit
from mftkit_plugins.executors.launcher import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUPERVISION = 8
"""Processes in a group besides the program's: those that start and supervise it."""
SUPERVISION_MEMORY = 1 << 26
"""Their memory in bytes."""
_PREFIX = "mft-program-"
_FRESH = 60.0
"""Seconds in which a group may hold no process yet."""
_PATIENCE = 5.0
"""Seconds in which killed processes leave a group."""
_AGAIN = 0.002
"""Seconds between two attempts to remove a group."""


@dataclass(frozen=True)
class Parent:
    """A group below which groups for programs can be made, and the names of their files."""

    directory: Path
    mount: Path
    memory: str | None
    swap: str | None
    processes: str | None
    killed: str | None
    """Holds a line "oom_kill NUMBER"."""


def _unified(directory: Path, mount: Path) -> Parent:
    return Parent(directory, mount, "memory.max", "memory.swap.max", "pids.max", "memory.events")


_VERSION_1 = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", None, "memory.oom_control"),
    "pids": (None, None, "pids.max", None),
}
"""Names of files in the hierarchies of version 1, by controller."""


class ControlGroup:
    """A group for one program, removed at the end with all processes in it; none where ``parents`` is empty.

    Everything that the kernel charges to the program counts: also pipes, sockets, and files in memory.
    """

    def __init__(self, parents: Sequence[Parent], limits: mftkit.Limits) -> None:
        """Make it. Raises MftError if that is not possible any more."""
        name = _PREFIX + secrets.token_hex(8)
        self._groups = {parent.directory / name: parent for parent in parents}
        memory = limits.memory + limits.disk + SUPERVISION_MEMORY
        try:
            for group, parent in self._groups.items():
                group.mkdir()
                if parent.memory:
                    group.joinpath(parent.memory).write_text(str(memory))
                if parent.swap and (swap := group / parent.swap).exists():  # a kernel may not count swap
                    # Version 1 bounds the sum.
                    swap.write_text("0" if parent.memory == "memory.max" else str(memory))
                if parent.processes:
                    group.joinpath(parent.processes).write_text(str(limits.processes + SUPERVISION))
        except OSError as error:
            self.remove()
            where = ", ".join(str(parent.directory) for parent in parents)
            raise mftkit.MftError(
                f"no control group for a program can be made in {where}: {error.strerror}; start the command again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.remove()

    def entering(self, command: Sequence[str]) -> list[str]:
        """Return the command that joins the group and then becomes ``command``."""
        if not self._groups:
            return list(command)
        joins = [f"echo 0 >{shlex.quote(str(group / 'cgroup.procs'))}" for group in self._groups]
        return ["/bin/sh", "-c", " && ".join([*joins, 'exec "$@"']), "sh", *command]

    def out_of_memory(self) -> bool:
        """Whether the kernel has ended a process of the group because its memory was used up."""
        return out_of_memory(
            [str(group / each.killed) for group, each in self._groups.items() if each.killed]
        )

    def remove(self) -> None:
        """Kill what is left in it, and remove it."""
        until = time.monotonic() + _PATIENCE
        for group in self._groups:
            while not _removed(group) and time.monotonic() < until:
                _kill(group)
                time.sleep(_AGAIN)


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):  # it still has processes
        group.rmdir()
    return not group.exists()


def _kill(group: Path) -> None:
    """Kill all processes of a group; Linux before 5.14, and version 1, can only do so one by one."""
    with contextlib.suppress(OSError):
        if (at_once := group / "cgroup.kill").exists():
            at_once.write_text("1")
            return
        for process in group.joinpath("cgroup.procs").read_text().split():
            os.kill(int(process), signal.SIGKILL)


@functools.cache
def parents() -> tuple[Parent, ...]:
    """Return the groups to make a program's below, one for each hierarchy; empty if not all bounds can be kept."""
    for found in (*_candidates_of_version_2(), *_candidates_of_version_1()):
        if _can_be_used(found):
            for parent in found:
                _remove_abandoned(parent.directory)
            return found
    return ()


def _can_be_used(found: tuple[Parent, ...]) -> bool:
    try:
        with ControlGroup(found, mftkit.Limits()) as group:
            return subprocess.run(group.entering(["true"]), capture_output=True, check=False).returncode == 0
    except (OSError, mftkit.MftError):
        return False


def _candidates_of_version_2() -> Iterator[tuple[Parent, ...]]:
    """Return this process's group and those above it, up to one that bounds memory: no program may get around that.

    A group with processes can have no groups with bounds below it, unless it is the root of all.
    """
    for mount, own in _mounted("cgroup2", ""):
        for directory in (own, *own.parents):
            with contextlib.suppress(OSError):
                directory.joinpath("cgroup.subtree_control").write_text("+memory +pids")
            yield (_unified(directory, mount),)
            bound = directory / "memory.max"
            if directory == mount or (bound.exists() and bound.read_text().strip() != "max"):
                break


def _candidates_of_version_1() -> Iterator[tuple[Parent, ...]]:
    found = [
        Parent(own, mount, *names)
        for controller, names in _VERSION_1.items()
        for mount, own in _mounted("cgroup", controller)[:1]
    ]
    if len(found) == len(_VERSION_1):
        yield tuple(found)


def _mounted(kind: str, controller: str) -> list[tuple[Path, Path]]:
    """Return where a hierarchy is mounted, and where this process's group is in it."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        root, mount = fields.split()[3:5]
        mounted, _, options = rest.split(maxsplit=2)
        if mounted == kind and controller in own and (not controller or controller in options.split(",")):
            inside = os.path.relpath(own[controller], root)
            if not inside.startswith(".."):  # outside of this process's cgroup namespace
                found.append((Path(mount), Path(mount, inside)))
    return found


def _remove_abandoned(parent: Path) -> None:
    """Remove the groups of processes that were killed; the kernel keeps those that have processes."""
    for group in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or removed meanwhile
            if time.time() - group.stat().st_mtime > _FRESH:
                group.rmdir()
