"""Command line and standard input that start a program through the launcher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mftkit import PYTHON

if TYPE_CHECKING:
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
    return _header(program) + program.stdin.encode()


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
