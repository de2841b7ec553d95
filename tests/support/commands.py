"""The command line: in the tests' own process, or in one that is started for it.

A new process costs seconds before it does anything, because it imports torch and transformers again. Only what needs
a process (signals, several processes) uses ``forked``, and only what needs a new interpreter (a closed pipe, variables
that are read on import) uses ``mft_process``.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from mftkit.cli import main
from mftkit.plugins import installed


def environment(**more: str) -> dict[str, str]:
    """The variables of a process that a test starts: this one's, and no more threads than its own."""
    return {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def mft_process(
    *arguments: str | Path, cwd: Path, sites: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process, with ``sites`` before what is on its path."""
    path = os.pathsep.join([*map(str, sites), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-m", "mftkit.cli", *map(str, arguments)],
        cwd=cwd,
        env=environment(**({"PYTHONPATH": path} if path else {}) | more),
        capture_output=True,
        text=True,
        check=False,
    )


def mft(
    *arguments: str | Path, cwd: Path, sites: tuple[Path, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """What ``mft`` with these arguments does in ``cwd``: its exit code, and what it wrote.

    As in a process of its own, the plugins are looked up again (in ``sites`` too), warnings are shown and not
    raised, and nothing that the command sets or imports from ``sites`` is left behind.
    """
    words = [str(argument) for argument in arguments]
    with _elsewhere(cwd, more), _plugins_of(sites), _default_warnings(), _captured() as (out, err):
        code = main(words)
    return subprocess.CompletedProcess(["mft", *words], code, _text(out), _text(err))


@contextlib.contextmanager
def _elsewhere(cwd: Path, environment: dict[str, str]) -> Iterator[None]:
    """The working directory and the variables of another process."""
    variables = dict(os.environ)
    os.environ.update(environment)
    try:
        with contextlib.chdir(cwd):
            yield
    finally:
        os.environ.clear()
        os.environ.update(variables)


@contextlib.contextmanager
def _plugins_of(sites: tuple[Path, ...]) -> Iterator[None]:
    """A registry of what is installed now and in ``sites``; afterwards no module of theirs is left."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(site) for site in sites if str(site) not in path]
    importlib.invalidate_caches()
    installed.registry.cache_clear()
    try:
        yield
    finally:
        sys.path[:] = path
        installed.registry.cache_clear()
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(Path(file).is_relative_to(site) for site in sites):
                del sys.modules[name]


@contextlib.contextmanager
def _default_warnings() -> Iterator[None]:
    """Python's own filters, where the tests' make errors of all warnings."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = _print_warning  # pytest would keep them for its summary
        yield


def _print_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


@contextlib.contextmanager
def _captured() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Standard output and standard error, as a pipe takes them: bytes, and no terminal."""
    streams = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        yield streams


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
