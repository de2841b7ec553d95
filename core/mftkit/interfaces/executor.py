"""The interface of an executor: runs an unreviewed program within limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Session(ABC):
    """A running program that is talked to in lines; ``Executor.open`` starts it. A context manager, which closes it.

    It may be used by one thread at a time. Text that the program has not ended with a newline is no line yet.
    """

    @abstractmethod
    def send(self, line: str) -> None:
        """Send a line, without a newline in it, to the program's standard input. After its end nothing happens."""

    @abstractmethod
    def receive(self) -> str | None:
        """Wait for the next line of its standard output; None if it has ended or reached a limit.

        Lines that were written before the end still come. Invalid UTF-8 is replaced.
        """

    @abstractmethod
    def close(self) -> Execution:
        """Close its standard input, end it if it still runs a moment later, and return the result. Can be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class ReplayingSession(Session):
    """A session by ``run`` alone: the program is run again with all lines so far as its whole standard input.

    It needs a program that repeats its earlier lines, and that waits for a line before it writes about it. If it does
    not repeat them, the session has ended. Each run has all the limits.
    """

    def __init__(self, executor: Executor, program: Program, limits: Limits) -> None:
        self._executor = executor
        self._program = program
        self._limits = limits
        self._received: list[str] = []
        self._execution: Execution | None = None
        self._ended = False

    def send(self, line: str) -> None:
        """Keep the line for the next run."""
        self._program = replace(self._program, stdin=f"{self._program.stdin}{one_line(line)}\n")
        self._execution = None

    def receive(self) -> str | None:
        """Return the line after those that were received, of a run with all lines that were sent."""
        lines = [] if self._ended else self._run().stdout.split("\n")[:-1]
        number = len(self._received)
        if len(lines) <= number or lines[:number] != self._received:
            self._ended = True
            return None
        self._received.append(lines[number])
        return lines[number]

    def close(self) -> Execution:
        """Return the result of the last run."""
        self._ended = True
        return self._run()

    def _run(self) -> Execution:
        if self._execution is None:
            self._execution = self._executor.run(self._program, self._limits)
        return self._execution


def one_line(line: str) -> str:
    """Return the line; raise ValueError if it would be several."""
    if "\n" in line:
        msg = f"a session sends one line at a time, but this text holds a newline: {line[:80]!r}"
        raise ValueError(msg)
    return line


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

    def not_kept(self) -> Sequence[str]:
        """Return the bounds that it does not keep on this machine, each in a few words: they are reported."""
        return ()

    @required
    def run(self, program: Program, limits: Limits) -> Execution:
        """Run to the end or to the first limit. No process of it remains afterwards, even if this one is killed."""
        raise NotImplementedError

    def open(self, program: Program, limits: Limits) -> Session:
        """Start a program that is talked to; all limits count from its start to ``close``.

        The default replays the program with ``run``. As after ``run``, no process of it remains.
        """
        return ReplayingSession(self, program, limits)
