"""Rows given in Python, saved as files of the run, and the spec that names these files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, cast

from mftkit.base.atomic_files import disk_errors
from mftkit.spec import Spec, load_spec
from mftkit.spec.overrides import apply_overrides
from mftkit.spec.own_directory import spec_file
from mftkit.spec.reading import read_spec_file
from mftkit.tools.api.json_rows import Rows, json_rows
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

SpecSource: TypeAlias = Spec | str | Path | Mapping[str, object]
"""A loaded spec, the path of a spec, or a spec as a dict whose paths are relative to the current directory."""
Overrides: TypeAlias = Mapping[str, object] | Iterable[str]
"""Changes of the spec: ``{"training.epochs": 3}``, or strings as for ``--set``."""
TaskData: TypeAlias = Rows | Mapping[str, object]
"""A task's training rows; or its rows by part, "train" and "valid", where "valid" may be a fraction too.

The type of the parts is wider than what is read: type checkers infer ``dict[str, object]`` for rows beside a fraction.
"""

Files: TypeAlias = dict[str, dict[str, Path | float]]
"""Files of rows by task and part; a fraction for "valid" stays a number."""

FOLDER = "data"
"""Directory of the rows within the run directory."""
PARTS = ("train", "valid")
_WRITTEN = re.compile(r".+-(train|valid)-[0-9a-f]{16}\.jsonl")
"""Names of files of rows."""
_NOT_YET = "rows-given-in-python.jsonl"


@dataclass
class GivenData:
    """Rows of tasks, by task and by part."""

    tasks: dict[str, dict[str, Rows | float]]
    written: list[Path] = field(default_factory=list)
    """Files that were not there before."""
    names: dict[Path, str] = field(default_factory=dict)
    """What each file holds, for messages."""
    directories: list[Path] = field(default_factory=list)
    """Directories that were not there before, the innermost first."""

    @classmethod
    def of(cls, data: Mapping[str, TaskData], *, alone: str = "train") -> GivenData:
        """Sort out ``data``; rows that are not given by part are those of the part ``alone``.

        Raises MftError for data that is not given by task or by part.
        """
        if not isinstance(data, Mapping):
            raise MftError(
                f'data: expected rows by task, such as {{"repair": rows}}, not {type(data).__name__}. '
                "Give the rows as the value of their task's name."
            )
        return cls({task: _parts(task, given, alone) for task, given in data.items()})

    def write(self, directory: Path) -> Files:
        """Write the rows as JSON Lines, in files that are named after their content; fractions stay.

        Raises MftError for rows that JSON cannot hold, and if the disk cannot be written.
        """
        files: Files = {}
        for task, parts in self.tasks.items():
            files[task] = {
                part: rows
                if part == "valid" and _is_fraction(rows)
                else self._write(rows, directory, f"{task}-{part}", f"data[{task!r}], {part} rows")
                for part, rows in parts.items()
            }
        return files

    def _write(self, rows: Rows | float, directory: Path, stem: str, what: str) -> Path:
        with disk_errors(directory):
            self.directories += [path for path in (directory, *directory.parents) if not path.exists()]
            directory.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=directory)
            partial = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    for row in json_rows(cast("Rows", rows), what):  # others are refused there
                        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode(
                            "utf-8", "surrogatepass"
                        )
                        digest.update(line)
                        file.write(line + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                target = directory / f"{stem}-{digest.hexdigest()[:16]}.jsonl"
                self.names[target] = what
                if not target.exists():
                    partial.chmod(0o644)
                    partial.replace(target)
                    self.written.append(target)
            finally:
                partial.unlink(missing_ok=True)
        return target

    def discard_others(self, directory: Path) -> None:
        """Remove files of other rows that ``write`` has made in ``directory``."""
        for path in directory.glob("*.jsonl"):
            if _WRITTEN.fullmatch(path.name) and path not in self.names:
                path.unlink(missing_ok=True)

    def in_python(self, message: str) -> str:
        """A message with the rows that were given in place of the files that hold them."""
        for path, what in self.names.items():
            message = re.sub(rf"{re.escape(str(path))}:(\d+)", rf"{what}, row \1", message)
            message = message.replace(str(path), what)
        return message

    def discard(self) -> None:
        """Remove what ``write`` made, except directories that hold something else."""
        for path in self.written:
            path.unlink(missing_ok=True)
        for directory in self.directories:
            with suppress(OSError):
                directory.rmdir()


@contextmanager
def given_files(
    source: SpecSource,
    data: Mapping[str, TaskData] | None,
    overrides: Overrides,
    plugins: Sequence[object],
    place: Callable[[Spec], Path] | None,
    *,
    fresh: bool = False,
) -> Iterator[Files | None]:
    """The files of rows given in Python, for ``load_given``; None without rows.

    They are written into ``data/`` of the directory that ``place`` gives for the spec, or into a temporary one if it is
    None. If the block raises before anything there names the files, they are removed again. If what is there was
    started over (``fresh``), the files of the rows before are removed.
    """
    if data is None or (isinstance(data, Mapping) and not data):
        yield None
        return
    given = GivenData.of(data)
    if place is None:
        with tempfile.TemporaryDirectory() as directory, _rows_in_messages(given):
            yield given.write(Path(directory))
        return
    output = place(load_given(source, overrides, placeholders(given), plugins))
    try:
        with _rows_in_messages(given):
            yield given.write(output / FOLDER)
    except BaseException:
        file = output / "spec.json"
        text = file.read_text("utf-8") if file.is_file() else ""
        if not any(path.name in text for path in given.written):  # refused, or stopped before it began
            given.discard()
        raise
    if fresh:
        given.discard_others(output / FOLDER)


@contextmanager
def _rows_in_messages(given: GivenData) -> Iterator[None]:
    """Errors name the rows that were given, not the files that hold them."""
    try:
        yield
    except MftError as error:
        error.args = (given.in_python(str(error)),)
        raise


@contextmanager
def written_temporarily(given: GivenData | None) -> Iterator[Files | None]:
    """Validation rows in files that last as long as the block; a task that has no other rows gets them for training."""
    if given is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as directory, _rows_in_messages(given):
        files = given.write(Path(directory))
        yield {task: {"train": parts["valid"], **parts} for task, parts in files.items()}


def load_given(
    source: SpecSource,
    overrides: Overrides,
    files: Files | None = None,
    plugins: Sequence[object] = (),
    callbacks: Sequence[object] = (),
) -> Spec:
    """Load the spec, with what was given in Python.

    Args:
        source: the spec.
        overrides: changes of its keys.
        files: files of rows, in place of the tasks' own.
        plugins: added to those of the spec, as for ``load_spec``.
        callbacks: names and references of components, added to those of the spec.

    Raises:
        MftError: a task of ``files`` is not in the spec, or an argument is of the wrong type; SpecError for a spec that
            is not valid.
    """
    if not isinstance(source, Spec | str | Path | Mapping):
        raise MftError(
            f"spec: should be a path, a dict, or what mftkit.load_spec returns, not {type(source).__name__}"
        )
    if not isinstance(plugins, list | tuple):
        raise MftError('plugins: should be a list, such as plugins=["my_loss.py"], even for one plugin')
    changes = override_texts(overrides)
    if isinstance(source, Spec) and not (changes or files or plugins or callbacks):
        return source
    given: str | Path | Mapping[str, object] = source.dump() if isinstance(source, Spec) else source
    try:
        if files or callbacks:
            raw = _raw(given, changes)
            changes += _task_changes(_list_of(raw, "tasks"), files) if files else []
            named = [*_list_of(raw, "callbacks"), *callbacks]
            changes += [f"callbacks={json.dumps(named)}"] if callbacks else []
        return load_spec(given, changes, plugins=[_from_here(plugin) for plugin in plugins])
    except MftError as error:
        error.args = (in_python(str(error), has_data=bool(files)),)
        raise


def _from_here(plugin: object) -> object:
    """A path given in Python as an absolute one: it is relative to the current directory."""
    return Path(plugin).expanduser().absolute() if isinstance(plugin, str | Path) else plugin


def in_python(message: str, *, has_data: bool) -> str:
    """A message with the names of arguments instead of ``--set``."""
    message = message.replace("--set: tasks.", "data: tasks.") if has_data else message
    return message.replace("--set", "overrides").replace("--fresh", "fresh=True")


def placeholders(given: GivenData) -> Files:
    """Stand-ins for files that are not written yet: with them the spec is loaded to find the run directory."""
    return {
        task: {
            part: rows if part == "valid" and _is_fraction(rows) else Path(_NOT_YET)
            for part, rows in parts.items()
        }
        for task, parts in given.tasks.items()
    }


def override_texts(overrides: Overrides) -> list[str]:
    """Overrides as ``--set`` has them.

    >>> override_texts({"training.epochs": 3, "loss": "mixed"})
    ['training.epochs=3', 'loss="mixed"']
    """
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    if isinstance(overrides, str):
        raise MftError(f"overrides: expected a dict or a list of strings, not the string {overrides!r}")
    return list(overrides)


def _parts(task: str, given: TaskData, alone: str) -> dict[str, Rows | float]:
    if not isinstance(given, Mapping):
        return {alone: given}
    named = {("valid" if part == "validation" else part): rows for part, rows in given.items()}
    unknown = [str(part) for part in named if part not in PARTS]
    if unknown and not any(part in PARTS for part in named):
        raise MftError(
            f"data[{task!r}]: expected rows, or a dict with the parts train and valid; it has {', '.join(unknown)}. "
            "For a dict of columns use datasets.Dataset.from_dict."
        )
    if unknown or not named:
        raise MftError(
            f"data[{task!r}]: expected the parts train and valid; it has "
            f"{', '.join(map(str, given)) or 'none'}. Leave out the others."
        )
    return cast("dict[str, Rows | float]", named)


def _raw(given: str | Path | Mapping[str, object], changes: list[str]) -> JsonObject:
    """The spec before it is checked."""
    raw = dict(given) if isinstance(given, Mapping) else read_spec_file(spec_file(Path(given)))[0]
    return apply_overrides(raw, changes)


def _list_of(raw: JsonObject, key: str) -> list[object]:
    found = raw.get(key)
    return found if isinstance(found, list) else []


def _task_changes(tasks: list[object], files: Files) -> list[str]:
    """Overrides that give each task its files; without tasks in the spec, those of ``files`` are its tasks."""
    if not tasks:
        made = [
            {"name": task, **{part: _shown(file) for part, file in parts.items()}}
            for task, parts in files.items()
        ]
        return [f"tasks={json.dumps(made)}"]
    names = [str(task.get("name")) if isinstance(task, dict) else "" for task in tasks]
    changes = []
    for task, parts in files.items():
        if task not in names:
            near = nearest(task, names)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise MftError(f"data: the spec has no task {task!r}; its tasks are {', '.join(names)}{hint}")
        index = names.index(task)
        if "train" in parts:
            changes.append(f"tasks.{index}.generator=null")
        changes += [f"tasks.{index}.{part}={json.dumps(_shown(file))}" for part, file in parts.items()]
    return changes


def _is_fraction(rows: Rows | float) -> TypeGuard[float]:
    return isinstance(rows, int | float)


def _shown(file: Path | float) -> list[str] | float:
    return [str(file)] if isinstance(file, Path) else file
