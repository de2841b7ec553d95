"""Processes that share the work of making one table's samples: chunk c is made by process c modulo their number.

Every process reads all rows of the sources, which is a small part of the work, and makes the samples of its chunks.
So nothing but finished samples is sent, and any kind of source can be shared. The processes are new interpreters, no
forks: a fork would copy the state of threads and devices, and would keep the lock on the table alive after its holder.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from itertools import count, islice
from typing import IO, TYPE_CHECKING, NamedTuple

from mftkit.base.machine import cores, quota
from mftkit.data.tokens.sample_maker import Chunks, MadeSamples, SampleMaker, TableSource
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedTokenizerBase

    from mftkit.spec import Spec

    Maker = Callable[[Spec, PreTrainedTokenizerBase, TableSource], SampleMaker]

ROWS_PER_PROCESS = 20_000
"""Rows that are worth the start of a process, a few seconds."""
_SERVE = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from mftkit.data.tokens.making_processes import serve; serve()"
)


class _End(NamedTuple):
    """All chunks are made."""

    empty: list[int]


class _Failure(NamedTuple):
    """What ended a process: an error that the user can fix, or a text about another one."""

    error: MftError | str


def number_of_processes(chosen: int | None, rows: int | None) -> int:
    """Return how many processes make a table; 1: this one alone.

    Args:
        chosen: ``data.processes`` of the spec; None: one for each core, as far as there are enough rows.
        rows: of the sources; None: unknown, and then taken for few.
    """
    if chosen is not None:
        return chosen
    usable = min(float(cores()), quota() or float("inf"))
    return max(1, min(int(usable), (rows or 0) // ROWS_PER_PROCESS))


class MakingProcesses:
    """The processes that make one table's samples."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        self.empty: list[int] = []
        """Indices of the sources without rows, once all samples were read."""

    def __iter__(self) -> Iterator[MadeSamples]:
        """Yield the samples of all chunks in order. Raises MftError for the first fault in the data."""
        for number in count():
            message = _received(self._processes[number % len(self._processes)])
            if isinstance(message, MadeSamples):
                yield message
            elif isinstance(message, _End):
                self.empty = message.empty
                return
            elif isinstance(message.error, MftError):
                raise message.error
            else:
                raise RuntimeError(f"a process that tokenizes failed:\n{message.error}")


@contextmanager
def making_processes(setup: bytes, number: int) -> Iterator[MakingProcesses]:
    """Start processes that make the samples of a table; ``setup`` is from ``pickled_setup``."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}  # the processes are the parallelism
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(number):
            process = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            started.append(process)
            assert process.stdin is not None, "it is a pipe"
            # A process that is dead already gives no answer, which is reported then.
            with process.stdin as stdin, suppress(BrokenPipeError):
                stdin.write(pickle.dumps(sys.path) + setup + pickle.dumps((rank, number)))
        yield MakingProcesses(started)
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def pickled_setup(
    make: Maker, spec: Spec, tokenizer: PreTrainedTokenizerBase, source: TableSource
) -> bytes | None:
    """Return what a process needs to make a table's samples; None if that cannot be sent to another process.

    It cannot if a part is defined in this process alone, such as a plugin that was given in Python.
    """
    if spec.plugins:
        return None
    try:
        setup = pickle.dumps((make, spec, tokenizer, source))
        pickle.loads(setup)
    except Exception:  # whatever a plugin's class may raise
        return None
    return setup


def serve() -> None:
    """Make chunks and write them to the standard output: the work of one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # what a plugin prints is no message
        try:
            for message in _messages():
                pickle.dump(message, output, protocol=pickle.HIGHEST_PROTOCOL)
                output.flush()
        except BrokenPipeError:  # the process that reads was killed
            os._exit(1)


def _messages() -> Iterator[MadeSamples | _End | _Failure]:
    import traceback

    try:
        make, spec, tokenizer, source = pickle.load(sys.stdin.buffer)
        rank, number = pickle.load(sys.stdin.buffer)
        chunks = Chunks(source.sources, source.variants)
        maker = make(spec, tokenizer, source)
        yield from map(maker.make, islice(chunks, rank, None, number))
        yield _End(chunks.empty)
    except MftError as error:
        yield _Failure(_sendable(error))
    except Exception:
        yield _Failure(traceback.format_exc())


def _sendable(error: MftError) -> MftError:
    """Return an error of the same message that a pickle can hold: most classes have other arguments."""
    plain = MftError(str(error))
    plain.exit_code = error.exit_code
    return plain


def _received(process: subprocess.Popen[bytes]) -> MadeSamples | _End | _Failure:
    stream: IO[bytes] | None = process.stdout
    assert stream is not None, "it is a pipe"
    try:
        message: MadeSamples | _End | _Failure = pickle.load(stream)
    except (EOFError, pickle.UnpicklingError):
        raise MftError(
            f"data.processes: a process that tokenizes ended without an answer (exit code {process.wait()}); the "
            "system may have ended it for lack of memory. Set data.processes to 1, or to fewer than before."
        ) from None
    return message
