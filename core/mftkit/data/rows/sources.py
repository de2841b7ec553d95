"""Finds the files and data sets that a task's ``train`` and ``valid`` entries name."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.data.rows.columns import mapped
from mftkit.data.rows.files import ENDINGS, FileSource
from mftkit.data.rows.formats import READ_KEYS
from mftkit.data.rows.hub import HubSource
from mftkit.data.rows.saved import SavedSource, is_saved, saved_around
from mftkit.plugins import installed, kinds
from mftkit.spec import GeneratedValidation, HubDataset
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mftkit.data.rows.source import Source
    from mftkit.spec import TaskSpec

    Entry = str | os.PathLike[str] | HubDataset | Mapping[str, object]


def expand(named: Sequence[Entry], where: str, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """Return the sources that entries name, in order; the files of a glob or a directory are sorted.

    ``where`` is the key path in the spec, for messages. Raises MftError for an entry that names no file.
    """
    sources: dict[str, Source] = {}
    for number, entry in enumerate(named):
        for source in entry_sources(entry, f"{where}.{number}", warn):
            if source.name in sources:
                warn(f"{where}.{number}: {source.name} is named more than once; it is read once")
            sources.setdefault(source.name, source)
    return tuple(sources.values())


def train_sources(task: TaskSpec, index: int, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """Return the sources of a task's ``train``; ``index`` is the task's index in the spec."""
    assert task.train is not None, "a task without files has a generator"
    sources = expand(entries(task.train), f"tasks.{index}.train", warn)
    return with_columns(sources, task, index, checks_use=True)


def with_columns(
    sources: tuple[Source, ...], task: TaskSpec, index: int, *, checks_use: bool
) -> tuple[Source, ...]:
    """Return a task's sources with their columns renamed to keys that its format reads; a filter may read any other."""
    known = READ_KEYS | installed.component_class(kinds.TASK_FORMAT, task.format.name).keys
    return mapped(
        sources,
        task.columns,
        f"tasks.{index}.columns",
        known_keys=None if task.filters else known,
        checks_use=checks_use,
    )


def valid_sources(task: TaskSpec, index: int, warn: Callable[[str], None]) -> tuple[Source, ...]:
    """Return the sources of a task's ``valid``; its rows may have the keys themselves instead of ``columns``."""
    assert not isinstance(task.valid, float | GeneratedValidation), (
        "neither a fraction nor a generator is a source"
    )
    sources = expand(entries(task.valid), f"tasks.{index}.valid", warn)
    return with_columns(sources, task, index, checks_use=False)


def entries(value: Sequence[str | HubDataset] | HubDataset) -> Sequence[str | HubDataset]:
    """Return what ``train`` or ``valid`` names, as a list."""
    return [value] if isinstance(value, HubDataset) else value


def entry_sources(entry: Entry, where: str, warn: Callable[[str], None]) -> Iterator[Source]:
    """Yield the sources that one entry names; arguments and errors as those of ``expand``."""
    if not isinstance(entry, str | os.PathLike):
        yield _data_set(entry, where)
        return
    path = Path(entry)
    if is_saved(path):
        yield _saved(path, where, warn)
    elif path.is_dir():
        yield from _some(_data_files(path), where, f"no data files in the directory {path}", warn)
    elif path.exists():
        if around := saved_around(path):
            raise MftError(f"{where}: {path} is a part of the saved data set {around}; name that directory")
        if not path.name.lower().endswith(ENDINGS):
            raise MftError(f"{where}: {path} has an unknown file ending (supported: {', '.join(ENDINGS)})")
        yield FileSource(path)
    elif glob.has_magic(str(entry)):
        matches = _matches(str(entry), where, warn)
        yield from _some(matches, where, f"no data files match the pattern {entry}", warn)
    else:
        raise MftError(f"{where}: file {path} not found{_similar_names(path)}")


def _data_set(entry: HubDataset | Mapping[str, object], where: str) -> Source:
    if not isinstance(entry, HubDataset):
        if not entry.get("dataset"):
            raise MftError(f'{where}: expected a path or {{"dataset": "org/name", "split": "train"}}')
        entry = HubDataset.model_validate(entry)
    directory = Path(entry.dataset)
    if not is_saved(directory):
        return HubSource(entry.dataset, entry.split, where, entry.name, entry.revision, entry.data_files)
    given = [key for key in ("name", "revision", "data_files") if getattr(entry, key) is not None]
    if given:
        raise MftError(
            f"{where}.{given[0]}: is not used with a data set of save_to_disk, and {directory} is one; leave it out"
        )
    return SavedSource(directory, where, entry.split)


def _saved(directory: Path, where: str, warn: Callable[[str], None]) -> Source:
    source = SavedSource(directory, where)
    if len(source.splits) > 1:
        warn(f"{where}: {directory} has the splits {', '.join(source.splits)}; {source.chosen_split} is read")
    return source


def _some(paths: list[Path], where: str, problem: str, warn: Callable[[str], None]) -> Iterator[Source]:
    if not paths:
        raise MftError(f"{where}: {problem} (supported file endings: {', '.join(ENDINGS)})")
    return (_saved(path, where, warn) if path.is_dir() else FileSource(path) for path in paths)


def _matches(pattern: str, where: str, warn: Callable[[str], None]) -> list[Path]:
    """Return the data files and saved data sets that a pattern matches or that are below a directory it matches."""
    found: dict[Path, None] = {}
    parts_of: dict[Path, None] = {}
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
        path = Path(name)
        around = saved_around(path)
        if around is not None and not is_saved(path):
            parts_of[around] = None
        elif around is None or around not in found:
            found.update(
                dict.fromkeys(_data_files(path) if path.is_dir() else [path] if _is_data(path) else [])
            )
    for around in parts_of:
        if not any(path == around or around in path.parents for path in found):
            warn(
                f"{where}: {pattern} matches files inside the saved data set {around}, which are left out; name the "
                "directory to read it"
            )
    return list(found)


def _data_files(directory: Path) -> list[Path]:
    """Return the data files and saved data sets in and below a directory, sorted.

    Hidden files and editors' backups are left out. A saved data set is one directory, whatever files it has.
    """
    found, seen = [], set()
    for parent, directories, names in os.walk(directory, onerror=_refuse_unreadable, followlinks=True):
        real = Path(parent).resolve()
        if real in seen:  # a link back to a directory above
            directories.clear()
            continue
        seen.add(real)
        if is_saved(Path(parent)):
            directories.clear()
            found.append(Path(parent))
            continue
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        found += [path for name in names if _is_data(path := Path(parent, name))]
    return sorted(found)


def _refuse_unreadable(error: OSError) -> None:
    raise MftError(f"{error.filename}: cannot be read: {error.strerror}")


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
