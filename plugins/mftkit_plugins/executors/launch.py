"""Command line and standard input that start a program through the launcher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mftkit import PYTHON
from mftkit_plugins.executors.supervisor import PATIENCE
from mftkit_plugins.executors.syscalls import available, filter_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mftkit

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    # A program's threads count as processes: libraries must not start one for each core.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""The whole environment of a program, except for HOME and TMPDIR."""
_FILES = 256
"""Limit on open files."""
INODES = 20_000
"""Limit on the files of each directory in memory: an empty one takes a kibibyte of the kernel's memory."""
KERNEL_MEMORY = "memory that the kernel uses for pipes and sockets"
UNFILTERED = "memory of memfd_create and System V, and of file systems that it mounts in user namespaces"


def not_kept() -> list[str]:
    """Return the bounds that cannot be kept on this machine without control groups."""
    return [KERNEL_MEMORY, *([] if available() else [UNFILTERED])]


def supervision(
    lifeline: int | None,
    limits: mftkit.Limits,
    directories: Sequence[str] = (),
    memory_events: Sequence[str] = (),
) -> dict[str, object]:
    """Return the launcher's setting: longer than this process's own limit, so it matters only if that has died."""
    seconds = limits.seconds + PATIENCE
    return {
        "lifeline": lifeline,
        "seconds": seconds,
        "directories": list(directories),
        "inodes": INODES,
        "memory_events": list(memory_events),
    }


def launcher(
    interpreter: str, program: mftkit.Program, limits: mftkit.Limits, **settings: object
) -> list[str]:
    """Return the command that starts the launcher; its docstring lists the ``settings``."""
    source = Path(__file__).with_name("launcher.py").read_text(encoding="utf-8")
    first, *rest = program.command
    config = {
        "command": [interpreter if first == PYTHON else first, *rest],
        "files": len(_header(program)),
        "limits": resources(limits),
        "uid": None,
        "confined": False,
        "filter": filter_program(),
        "mounts": [],
        "supervise": None,
        **settings,
    }
    return [interpreter, "-I", "-S", "-c", source, json.dumps(config)]


def resources(limits: mftkit.Limits) -> dict[str, int]:
    """Return the limits that the kernel applies to each process (RLIMIT_NPROC: to each user)."""
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_AS": limits.memory,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.disk,
        "RLIMIT_NOFILE": _FILES,
        "RLIMIT_NPROC": limits.processes,
    }


def _header(program: mftkit.Program) -> bytes:
    return json.dumps(dict(program.files)).encode()


def standard_input(program: mftkit.Program) -> bytes:
    """Return the program's files for the launcher, then the program's own input.

    It goes through a pipe: a program could rewind a file and read it again.
    """
    return _header(program) + program.stdin.encode("utf-8", "surrogatepass")


class Lifeline:
    """A pipe without data; its other end sees it close when it is cut or when this process dies."""

    def __init__(self) -> None:
        self.end, self._held = os.pipe()
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.cut()
        os.close(self.end)

    def cut(self) -> None:
        """End whatever watches the pipe. Can be called repeatedly."""
        if self._open:
            self._open = False
            os.close(self._held)
