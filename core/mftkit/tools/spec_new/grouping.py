"""Data files become tasks: one for each file or directory, with the validation file that lies beside it."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from mftkit.data.rows.files import ENDINGS
from mftkit.data.rows.saved import is_saved
from mftkit.spec.names import LONGEST_NAME
from mftkit_registry import MftError

_TRAIN = frozenset({"train", "training"})
_VALID = ("valid", "validation", "val", "dev", "eval")
_TEST = frozenset({"test", "testing"})
_WORD = re.compile(r"[-_. ]+")


@dataclass(frozen=True)
class TaskFiles:
    """The files of one task."""

    name: str
    train: tuple[Path, ...]
    """Files, directories and patterns."""
    valid: Path | None = None
    notes: tuple[str, ...] = field(default=())
    """What was left out, and why."""


def group(entries: list[str]) -> list[TaskFiles]:
    """Return the tasks that data files, directories and patterns make, in the order given.

    An entry is a path or ``NAME=PATH``. A validation file that is given beside its training file belongs to the
    same task. Raises MftError for a path that has no data.
    """
    named = [_named(entry) for entry in entries]
    given = {path for _name, path in named}
    tasks: list[TaskFiles] = []
    for name, path in named:
        if _train_file_of(path, given) is None:
            tasks += _tasks(name, path)
    return _distinct(tasks)


def stem(path: Path) -> str:
    """Return the name of a data file without its ending, which may have two parts.

    >>> stem(Path("data/repair-train.jsonl.gz"))
    'repair-train'
    """
    ending = max((known for known in ENDINGS if path.name.lower().endswith(known)), key=len, default="")
    return path.name[: len(path.name) - len(ending)] if ending else path.name


def _named(entry: str) -> tuple[str | None, Path]:
    name, equals, rest = entry.partition("=")
    if equals and name and "/" not in name and not Path(entry).exists():
        return name, Path(rest).expanduser()
    return None, Path(entry).expanduser()


def _words(path: Path) -> list[str]:
    return [word.lower() for word in _WORD.split(stem(path)) if word]


def _is(path: Path, words: frozenset[str] | tuple[str, ...]) -> bool:
    return any(word in words for word in _words(path))


def _task_name(path: Path) -> str:
    """Return the name of a file without the word that says which part of the data it is."""
    words = "|".join((*_TRAIN, *_VALID, *_TEST))
    kept = re.sub(rf"(?i)(?:^|[-_. ]+)(?:{words})(?=[-_. ]|$)", "", stem(path)).strip("-_. ")
    name = kept or path.absolute().parent.name or "task"
    return re.sub(r"[\x00-\x1f\x7f\\/]", "-", name).strip()[:LONGEST_NAME] or "task"


def _valid_beside(path: Path) -> Path | None:
    """Return the validation file whose name is that of a training file with another word."""
    if not _is(path, _TRAIN):
        return None
    return next((other for other in sorted(path.parent.iterdir()) if _belongs(other, path)), None)


def _belongs(valid: Path, train: Path) -> bool:
    same = [word for word in _words(train) if word not in _TRAIN]
    rest = [word for word in _words(valid) if word not in _VALID]
    return valid.is_file() and _is_data(valid) and _is(valid, _VALID) and rest == same


def _train_file_of(path: Path, given: set[Path]) -> Path | None:
    """Return the given training file to which a given validation file belongs."""
    beside = (other for other in given if other.parent == path.parent and _is(other, _TRAIN))
    return next((other for other in beside if _belongs(path, other)), None)


def _tasks(name: str | None, path: Path) -> list[TaskFiles]:
    if path.is_dir() and not is_saved(path):
        found = _directory(path)
        if name is not None and len(found) == 1:
            return [replace(found[0], name=name)]
        return found
    if path.exists():
        if path.is_file() and not _is_data(path):
            raise MftError(f"{path}: unknown file ending (supported: {', '.join(ENDINGS)})")
        return [TaskFiles(name or _task_name(path), (path,), _valid_beside(path) if path.is_file() else None)]
    if glob.has_magic(str(path)):
        if not glob.glob(str(path), recursive=True):  # noqa: PTH207 - the pattern may be absolute
            raise MftError(f"{path}: no data files match the pattern")
        plain = next((part for part in reversed(path.parent.parts) if not glob.has_magic(part)), "task")
        return [TaskFiles(name or (plain if plain not in ("/", ".") else "task"), (path,))]
    raise MftError(f"{path}: no such file or directory; give data files, directories or patterns")


def _directory(path: Path) -> list[TaskFiles]:
    """Return the tasks of a directory: itself if files lie in it, otherwise each directory in it."""
    files = sorted(child for child in path.iterdir() if child.is_file() and _is_data(child))
    if not files:
        below = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
        tasks = [task for child in below for task in _tasks_or_none(child)]
        if not tasks:
            raise MftError(f"{path}: no data files in this directory (supported: {', '.join(ENDINGS)})")
        return tasks
    name = path.absolute().name
    training = [file for file in files if _is(file, _TRAIN)]
    valid = [file for file in files if _is(file, _VALID) and file not in training]
    if len(training) > 1 and len({_task_name(file) for file in training}) == len(training):
        return [TaskFiles(_task_name(file), (file,), _valid_beside(file)) for file in training]
    if not training and not valid:
        return [TaskFiles(name, (path,))]
    chosen = training or [file for file in files if file not in valid and not _is(file, _TEST)] or valid
    valid_file = next((file for file in valid if file not in chosen), None)
    left = [file.name for file in files if file not in chosen and file != valid_file]
    notes = (f"{', '.join(left)} in {path} are left out",) if left else ()
    return [TaskFiles(name, tuple(chosen), valid_file, notes)]


def _tasks_or_none(path: Path) -> list[TaskFiles]:
    try:
        return _tasks(None, path)
    except MftError:  # a directory without data beside others that have some
        return []


def _is_data(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith((".", "#", "~"))


def _distinct(tasks: list[TaskFiles]) -> list[TaskFiles]:
    """Number the names that occur twice."""
    taken: dict[str, int] = {}
    distinct = []
    for task in tasks:
        taken[task.name] = taken.get(task.name, 0) + 1
        name = task.name if taken[task.name] == 1 else f"{task.name}-{taken[task.name]}"
        distinct.append(replace(task, name=name))
    return distinct
