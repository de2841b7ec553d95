"""Generated rows as files of the user's: JSON Lines to use elsewhere."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import disk_errors, sync, temporary
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_ENDING = ".jsonl"


def targets(tasks: Iterable[str], output: Path, *, force: bool) -> dict[str, Path]:
    """Return the file of each task: ``output`` itself if it ends in .jsonl, otherwise NAME.jsonl in it.

    Validation rows, "NAME (valid)", are written to "NAME (valid).jsonl". Raises MftError for one file of several
    tasks, and for a file that exists unless ``force``.
    """
    names = list(tasks)
    if output.suffix.lower() == _ENDING and not output.is_dir():
        if len(names) > 1:
            raise MftError(
                f"--output {output}: one file for the rows of {len(names)} generators ({', '.join(names)}); give a "
                "directory, or choose a task with --task"
            )
        files = dict.fromkeys(names, output)
    else:
        files = {name: output / f"{name}{_ENDING}" for name in names}
    taken = [str(file) for file in files.values() if file.exists()]
    if taken and not force:
        raise MftError(
            f"--output: {', '.join(taken)} exists already; choose another place, or replace it with --force"
        )
    return files


def export(made: Mapping[str, Path], files: Mapping[str, Path]) -> dict[str, int]:
    """Copy each task's rows to its file; returns their numbers. Raises MftError for a task without rows."""
    counts = {}
    for name, rows in made.items():
        with rows.open("rb") as lines:
            counts[name] = sum(1 for _line in lines)
        if not counts[name]:
            raise MftError(f"task {name}: the generator made no rows, so nothing was written")
    for name, rows in made.items():
        target = files[name]
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = temporary(target)
            shutil.copyfile(rows, partial)
            sync(partial)
            partial.replace(target)
    return counts
