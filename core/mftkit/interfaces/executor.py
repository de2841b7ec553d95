"""The interface of an executor: runs a program that nobody has looked at, within limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = "python"
"""As the first word of a command: the executor's Python interpreter."""


@documented
@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    seconds: float = 10.0
    """Of wall clock, from start to end."""
    cpu_seconds: int = 10
    """Of processor time, of each process."""
    memory: int = 1 << 30
    """Bytes: address space of each process, and resident memory of all of them together."""
    processes: int = 32
    """Processes and threads at one time."""
    output: int = 1 << 16
    """Bytes of standard output and standard error together."""
    disk: int = 1 << 26
    """Bytes of its directory where the executor can bound that, else of each file that it writes."""


@documented
@dataclass(frozen=True)
class Program:
    """What is run, in a fresh directory that holds ``files`` and is removed afterwards."""

    files: Mapping[str, str]
    """Text by path, relative to the directory."""
    command: tuple[str, ...] = (PYTHON, "main.py")
    """Run in the directory, with an environment of nothing that is the user's; "python" as its first word is the
    executor's own interpreter."""
    stdin: str = ""
    """What it may read from standard input."""


@documented
@dataclass(frozen=True)
class Execution:
    """What became of a program."""

    how: Literal["exited", "time", "memory", "output"]
    """"exited": by itself, or by a signal; else the limit for which it was ended: "time" by the clock or the
    processor's, "memory" of all processes together, "output"."""
    code: int
    """Exit code; 128 and the signal's number after a signal."""
    stdout: str
    """Up to the limit; bytes that are no UTF-8 are replaced."""
    stderr: str
    seconds: float
    """Of wall clock."""

    @property
    def succeeded(self) -> bool:
        """Whether it came to its end with exit code 0."""
        return self.how == "exited" and self.code == 0


@documented
class Executor(Component[OptionsT]):
    """Runs programs within limits; in options of type ``mftkit.ExecutorRef`` its name, or "auto".

    "auto" takes the strongest that can be used on this machine. ``run`` may be called from several threads at once.
    """

    strength: ClassVar[int] = 0
    """Order for "auto": the higher, the better it isolates."""
    isolated: ClassVar[bool] = False
    """Promise: a program can neither write outside of its directory, nor read the user's files or environment, nor
    reach a network. One without the promise is used only where the user allows weak isolation."""

    @required
    def unavailable(self) -> str | None:
        """Why it cannot be used on this machine, in a few words; None where it can: tried, not guessed."""
        raise NotImplementedError

    @required
    def run(self, program: Program, limits: Limits) -> Execution:
        """Run to the end or to the first limit; afterwards no process of it is left, also where this one is killed."""
        raise NotImplementedError
