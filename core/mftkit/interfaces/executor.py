"""The interface of an executor: runs an unreviewed program within limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = "python"
"""The first word of a command that runs the executor's Python interpreter."""


@documented
@dataclass(frozen=True)
class Limits:
    """The resources that a program may use."""

    seconds: float = 10.0
    """Wall-clock time, from start to end."""
    cpu_seconds: int = 10
    """Processor time of each process."""
    memory: int = 1 << 30
    """Bytes: address space of each process, and resident memory of all of them together."""
    processes: int = 32
    """Processes and threads at one time."""
    output: int = 1 << 16
    """Bytes of standard output and standard error together."""
    disk: int = 1 << 26
    """Bytes of its directory if the executor can limit that, else the size of each file that it writes."""


@documented
@dataclass(frozen=True)
class Program:
    """A program; it runs in a fresh directory that holds ``files`` and is removed afterwards."""

    files: Mapping[str, str]
    """Text by path, relative to the directory."""
    command: tuple[str, ...] = (PYTHON, "main.py")
    """Runs in the directory, with an environment that holds nothing of the user's; "python" as its first word is the
    executor's own interpreter."""
    stdin: str = ""
    """Its standard input."""


@documented
@dataclass(frozen=True)
class Execution:
    """The result of running a program."""

    how: Literal["exited", "time", "memory", "output"]
    """"exited": by itself, or by a signal; else the limit that ended it: "time" by wall clock or processor, "memory" of
    all processes together, "output"."""
    code: int
    """Exit code; 128 and the signal's number after a signal."""
    stdout: str
    """Up to the limit; invalid UTF-8 is replaced."""
    stderr: str
    seconds: float
    """Wall-clock time."""

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.how == "exited" and self.code == 0


@documented
class Executor(Component[OptionsT]):
    """Runs programs within limits; in options of type ``mftkit.ExecutorRef`` its name, or "auto".

    "auto" takes the strongest that can be used on this machine. ``run`` may be called from several threads at once.
    """

    strength: ClassVar[int] = 0
    """Order for "auto": the higher, the better it isolates."""
    isolated: ClassVar[bool] = False
    """True: a program can neither write outside its directory, nor read the user's files or environment, nor
    reach a network. Other executors are used only if the user allows weak isolation."""

    @required
    def unavailable(self) -> str | None:
        """A few words on why it cannot be used on this machine, found by trying it; None if it can."""
        raise NotImplementedError

    @required
    def run(self, program: Program, limits: Limits) -> Execution:
        """Run to the end or to the first limit. No process of it remains afterwards, even if this one is killed."""
        raise NotImplementedError
