"""Finds the files (or hub data sets) that a task's ``train`` and ``valid`` entries name."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.data.rows.files import ENDINGS, FileSource, Source
from mftkit.data.rows.hub import HubSource
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mftkit.spec import HubDataset, TaskSpec

    Entry = str | os.PathLike[str] | HubDataset | Mapping[str, str]


def expand(entries: Sequence[Entry], where: str, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """Return the sources that ``entries`` name, in order; the files of a glob or a directory are sorted.

    ``where`` is the key path in the spec, for messages. Raises MftError for an entry that names no file.
    """
    sources: dict[str, Source] = {}
    for number, entry in enumerate(entries):
        for source in _sources(entry, f"{where}.{number}"):
            if source.name in sources:
                warn(f"{where}.{number}: {source.name} is named more than once; it is read once")
            sources.setdefault(source.name, source)
    return tuple(sources.values())


def train_sources(task: TaskSpec, index: int, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """Return the sources of a task's ``train``; ``index`` is the task's index in the spec."""
    train = task.train
    assert train is not None, "a task without files has a generator"
    entries: Sequence[Entry] = train if isinstance(train, list | tuple) else [train]
    return expand(entries, f"tasks.{index}.train", warn)


def _sources(entry: Entry, where: str) -> Iterator[Source]:
    if not isinstance(entry, str | os.PathLike):
        yield HubSource.of(entry, where)
        return
    path = Path(entry)
    if path.is_dir():
        yield from _some(_data_files(path), where, f"no data files in the directory {path}")
    elif path.exists():
        if not path.name.lower().endswith(ENDINGS):
            raise MftError(f"{where}: {path} has an unknown file ending (supported: {', '.join(ENDINGS)})")
        yield FileSource(path)
    elif glob.has_magic(str(entry)):
        yield from _some(_matches(str(entry)), where, f"no data files match the pattern {entry}")
    else:
        raise MftError(f"{where}: file {path} not found{_similar_names(path)}")


def _some(paths: list[Path], where: str, problem: str) -> Iterator[Source]:
    if not paths:
        raise MftError(f"{where}: {problem} (supported file endings: {', '.join(ENDINGS)})")
    return (FileSource(path) for path in paths)


def _matches(pattern: str) -> list[Path]:
    found: dict[Path, None] = {}
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
        path = Path(name)
        found.update(dict.fromkeys(_data_files(path) if path.is_dir() else [path] if _is_data(path) else []))
    return list(found)


def _data_files(directory: Path) -> list[Path]:
    """Return the data files in and below a directory, sorted, without hidden files and editors' backups."""
    found, seen = [], set()
    for parent, directories, names in os.walk(directory, followlinks=True):
        real = Path(parent).resolve()
        if real in seen:  # a link back to a directory above
            directories.clear()
            continue
        seen.add(real)
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        found += [path for name in names if _is_data(path := Path(parent, name))]
    return sorted(found)


def _is_data(path: Path) -> bool:
    return (
        not path.name.startswith((".", "#", "~")) and path.name.lower().endswith(ENDINGS) and path.is_file()
    )


def _similar_names(path: Path) -> str:
    try:
        names = sorted(child.name for child in path.parent.iterdir())
    except OSError:
        return f" (the directory {path.parent} does not exist either)"
    similar = nearest(path.name, names)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""
