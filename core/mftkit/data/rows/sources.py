"""From the ``train`` and ``valid`` entries of a task to the files (or hub data sets) that are read."""

from __future__ import annotations

import glob
import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.data.rows.files import ENDINGS, FileSource, Source
from mftkit.data.rows.hub import HubSource
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mftkit.spec import TaskSpec


def expand(entries: Sequence[Any], where: str, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """The sources that ``entries`` name, in their order; what a glob or a directory gives is sorted.

    ``where`` is the key path in the spec, for messages. Raises MftError for an entry that gives no file.
    """
    sources: dict[str, Source] = {}
    for number, entry in enumerate(entries):
        for source in _sources(entry, f"{where}.{number}"):
            if source.name in sources:
                warn(f"{where}.{number}: {source.name} is named more than once and read once")
            sources.setdefault(source.name, source)
    return tuple(sources.values())


def train_sources(task: TaskSpec, index: int, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """The sources of a task's ``train``; ``index`` is the task's place in the spec."""
    entries = task.train if isinstance(task.train, list | tuple) else [task.train]
    return expand(entries, f"tasks.{index}.train", warn)


def _sources(entry: Any, where: str) -> Iterator[Source]:
    if not isinstance(entry, str | os.PathLike):
        yield HubSource.of(entry, where)
        return
    path = Path(entry)
    if path.is_dir():
        yield from _some(_data_files(path), where, f"the directory {path} holds no data file")
    elif path.exists():
        if not path.name.lower().endswith(ENDINGS):
            raise MftError(f"{where}: {path} has an unknown ending (known: {', '.join(ENDINGS)})")
        yield FileSource(path)
    elif glob.has_magic(str(entry)):
        yield from _some(_matches(str(entry)), where, f"the pattern {entry} matches no data file")
    else:
        raise MftError(f"{where}: there is no file {path}{_nearest(path)}")


def _some(paths: list[Path], where: str, otherwise: str) -> Iterator[Source]:
    if not paths:
        raise MftError(f"{where}: {otherwise} (endings read: {', '.join(ENDINGS)})")
    return (FileSource(path) for path in paths)


def _matches(pattern: str) -> list[Path]:
    found: dict[Path, None] = {}
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
        path = Path(name)
        found.update(dict.fromkeys(_data_files(path) if path.is_dir() else [path] if _is_data(path) else []))
    return list(found)


def _data_files(directory: Path) -> list[Path]:
    """The data files in and under a directory, sorted; hidden ones and editors' leftovers left out."""
    found, seen = [], set()
    for parent, directories, names in os.walk(directory, followlinks=True):
        real = Path(parent).resolve()
        if real in seen:  # a link to a directory further up
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


def _nearest(path: Path) -> str:
    try:
        names = sorted(child.name for child in path.parent.iterdir())
    except OSError:
        return f" (nor a directory {path.parent})"
    near = get_close_matches(path.name, names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
