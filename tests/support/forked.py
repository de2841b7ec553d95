"""Real processes, forked from one that has imported everything: torch is imported once for all of a worker's tests.

They have their own process id, signals, variables, working directory and output. What is read on import (variables,
warnings, the light start) needs a new interpreter: ``commands.mft_process``.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from commands import environment
from mftkit.plugins import installed

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(
    # accelerate imports deepspeed, where it is installed, whenever a model is saved: two seconds per process.
    ["mftkit.cli.run", "mftkit.cli.launch", "mftkit.tools.run", "peft", "plotly.graph_objects", "deepspeed"]
)


@dataclass(frozen=True)
class _Call:
    """What a forked process does, and where."""

    words: tuple[str, ...] | None
    """Arguments of ``mft``; None: ``code`` is run."""
    code: str
    cwd: str
    variables: dict[str, str]
    sites: tuple[str, ...]
    output: tuple[str, ...]
    """The files of its standard output and standard error."""


class Forked:
    """A running process, with the methods of ``subprocess.Popen`` that the tests use."""

    def __init__(self, call: _Call) -> None:
        self._files, self._texts = call.output, ("", "")
        self._process = _SERVER.Process(target=_run, args=(call,))
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.join()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = 600) -> int:
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still running after {timeout} s"
        if self._files:
            out, err = (Path(name).read_text("utf-8") for name in self._files)
            self._texts = (out, err)
            shutil.rmtree(Path(self._files[0]).parent)
            self._files = ()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = 600) -> tuple[str, str]:
        self.wait(timeout)
        return self._texts


def start_mft(*arguments: str | Path, cwd: Path, sites: Sequence[Path] = (), **more: str) -> Forked:
    """Start ``mft`` with these arguments in a process of its own, with ``sites`` before what is on its path."""
    return _start(tuple(map(str, arguments)), "", cwd, sites, more)


def mft_forked(
    *arguments: str | Path, cwd: Path, sites: Sequence[Path] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run ``mft`` with these arguments in a process of its own, to its end."""
    process = start_mft(*arguments, cwd=cwd, sites=sites, **more)
    out, err = process.communicate()
    return subprocess.CompletedProcess(["mft", *map(str, arguments)], process.wait(), out, err)


def start_code(code: str, cwd: Path, sites: Sequence[Path] = (), **more: str) -> Forked:
    """Run Python code in a process of its own."""
    return _start(None, code, cwd, sites, more)


def pytest_forked(
    arguments: Sequence[str], cwd: Path, sites: Sequence[Path]
) -> subprocess.CompletedProcess[str]:
    """Run the tests of packages in ``sites`` in a process of its own."""
    ignored = ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    ignored += [
        "-p",
        "no:anyio",
        "-p",
        "no:hypothesispytest",
    ]  # a second to import, and none of the tests uses them
    code = f"import sys, pytest; sys.exit(pytest.main({[*ignored, *arguments]}))"
    process = start_code(code, cwd, sites)
    out, err = process.communicate()
    return subprocess.CompletedProcess(["pytest", *arguments], process.wait(), out, err)


def run_forked(code: str, counts: Sequence[int], cwd: Path) -> None:
    """Run ``code`` in ``count`` processes that know of each other, for each of ``counts``, one after another."""
    for count in counts:
        port = str(_free_port())
        processes = [
            start_code(
                code, cwd, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                LOCAL_WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
            )
            for rank in range(count)
        ]  # fmt: skip
        errors = [process.communicate(900)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * count, "\n".join(errors)[-8000:]


def _start(
    words: tuple[str, ...] | None, code: str, cwd: Path, sites: Sequence[Path], more: dict[str, str]
) -> Forked:
    place = tempfile.mkdtemp()
    output = (str(Path(place, "stdout")), str(Path(place, "stderr")))
    return Forked(_Call(words, code, str(cwd), environment(**more), tuple(map(str, sites)), output))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(call: _Call) -> None:
    """Be the process that is asked for; called in a fork of the server."""
    gc.freeze()  # what the server imported: a collection would copy the pages of all of it
    for descriptor, name in zip((1, 2), call.output, strict=True):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.clear()
    os.environ.update(call.variables)
    os.chdir(call.cwd)
    vars(os)["fsync"] = os.fstat  # as in tests/conftest.py
    sys.path[:0] = call.sites
    importlib.invalidate_caches()
    installed.registry.cache_clear()
    os._exit(_exit_code(_main(call)))


def _main(call: _Call) -> Callable[[], Any]:
    def run_mft() -> int:
        from mftkit.cli import launch, main

        vars(launch)["subprocess"] = _ForkingSubprocess
        return main(list(call.words or ()))

    def run_code() -> None:
        exec(compile(call.code, "<the code of the process>", "exec"), {"__name__": "__main__"})

    return run_code if call.words is None else run_mft


def _exit_code(main: Callable[[], Any]) -> int:
    """Run ``main`` to the end of a process: its exit code, as the interpreter has it."""
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)


class _ForkingPopen:
    """A process that ``mft run --processes`` starts: forked from it too, with the methods that the launcher calls."""

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        stdout: int | None,
        stderr: IO[bytes] | None,
        start_new_session: bool,
    ) -> None:
        assert command[:3] == [sys.executable, "-m", "mftkit.cli"]
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            if start_new_session:
                os.setsid()
            if stdout == subprocess.DEVNULL:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if stderr is not None:
                os.dup2(stderr.fileno(), 2)
            os.environ.clear()
            os.environ.update(env)
            from mftkit.cli import main

            os._exit(_exit_code(lambda: main(command[3:])))

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout or 600)
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("mft", timeout or 600)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _ForkingSubprocess:
    """``subprocess``, as far as the launcher uses it."""

    Popen = _ForkingPopen
    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired
