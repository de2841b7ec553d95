"""All functions in some directories: read in a fixed order, without duplicates, kept for further tasks."""

from __future__ import annotations

import sysconfig
import tokenize
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mftkit import MftError
from mftkit_plugins.generators.python_source.functions import Function, functions_of

SKIPPED_DIRECTORIES = frozenset(
    {
        *("test", "tests", "idle_test"),
        *("idlelib", "lib2to3", "turtledemo"),
        *("site-packages", "dist-packages", "__pycache__"),
    }
)
"""Tests (whose names say little about their bodies), graphical programs, and third-party packages."""


@dataclass(frozen=True)
class Corpus:
    """Functions in the order in which they were found, and how many were left out for which reason."""

    functions: tuple[Function, ...]
    dropped: Counter[str]


def corpus(paths: tuple[Path, ...]) -> Corpus:
    """Return the functions of the Python files in ``paths``, or of the standard library if there are none.

    Of functions with the same fingerprint, the first one is kept. The tasks of a run share the result, unless a file
    changes in between.

    Raises:
        MftError: a path does not exist, or no function is found.
    """
    files = [file.stat() for file, _label in _files(paths)] if paths else []
    return _corpus(paths, tuple((found.st_size, found.st_mtime_ns) for found in files))


@lru_cache(maxsize=2)
def _corpus(paths: tuple[Path, ...], state: tuple[tuple[int, int], ...]) -> Corpus:
    del state  # distinguishes calls before and after a change
    dropped: Counter[str] = Counter()
    kept: dict[str, Function] = {}
    for file, label in _files(paths):
        source = _read(file)
        if source is None:
            dropped["unreadable_files"] += 1
        elif "def " in source:
            for function in functions_of(source, label, dropped):
                if kept.setdefault(function.group, function) is not function:
                    dropped["duplicate"] += 1
    if not kept:
        raise MftError(
            f"no usable Python functions in {_place(paths)}; set options.paths to other directories"
        )
    return Corpus(tuple(kept.values()), dropped)


def _place(paths: tuple[Path, ...]) -> str:
    return ", ".join(str(path) for path in paths) or f"the standard library, {sysconfig.get_path('stdlib')}"


def _files(paths: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """Return files with labels that do not reveal where they are on this machine."""
    if not paths:
        return _files_in(Path(sysconfig.get_path("stdlib")), "python")
    return [pair for path in paths for pair in _files_in(path, path.name)]


def _files_in(root: Path, label: str) -> list[tuple[Path, str]]:
    if not root.exists():
        raise MftError(
            f"options.paths: {root} does not exist; set it to a directory of Python files, or a file"
        )
    if root.is_file():
        return [(root, label)]
    found = []
    for file in root.rglob("*.py"):
        relative = file.relative_to(root)
        if not any(part in SKIPPED_DIRECTORIES or part[0] == "." for part in relative.parts[:-1]):
            found.append((file, f"{label}/{relative.as_posix()}"))
    return sorted(found, key=lambda pair: pair[1])


def _read(file: Path) -> str | None:
    try:
        with tokenize.open(file) as opened:  # uses the encoding that the file declares
            return opened.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
