"""How the executors of this package put a program behind the launcher."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from mftkit import PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator

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
"""All that a program finds in its environment, but for HOME and TMPDIR."""
_FILES = 256
"""Open at one time."""


def launcher(interpreter: str, program: mftkit.Program, limits: mftkit.Limits, **settings: Any) -> list[str]:
    """The command that starts the launcher; ``settings`` are those of its own docstring."""
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
    """The limits that the kernel keeps for each process (of RLIMIT_NPROC: for each user)."""
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


@contextmanager
def standard_input(program: mftkit.Program) -> Iterator[IO[bytes]]:
    """A file of no name: the program's files for the launcher, then what the program may read."""
    with tempfile.TemporaryFile() as file:
        file.write(_header(program) + program.stdin.encode())
        file.seek(0)
        yield file


class Lifeline:
    """A pipe that nothing is written to: its other end closes when it is cut, or when this process dies."""

    def __init__(self) -> None:
        self.end, self._held = os.pipe()
        self._whole = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.cut()
        os.close(self.end)

    def cut(self) -> None:
        """What hangs on it ends; once or more."""
        if self._whole:
            self._whole = False
            os.close(self._held)
