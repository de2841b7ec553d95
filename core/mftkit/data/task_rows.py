"""Entry point of reading a task's rows: its files or its generator's rows, and for training rows its filters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.data.made.filtered import FilteredRows
from mftkit.data.made.generated import GeneratedRows, label
from mftkit.data.rows.sources import train_sources, valid_sources
from mftkit.spec.local_plugins import with_own_plugins
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.data.rows.files import Source
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec


def task_rows(
    spec: Spec, index: int, task: TaskSpec, reporter: Reporter, warn: Callable[[str], None] | None = None
) -> tuple[Source, ...]:
    """Return the sources of a task's training rows; generated and filtered rows are made unless they are cached.

    Args:
        spec: the spec.
        index: the task's index in the spec, for messages.
        task: the task.
        reporter: shows progress and what generators and filters report.
        warn: receives warnings about files (default: they are discarded, because another caller reports them).

    Raises:
        MftError: files, the generator or a filter cannot be used.
    """
    sources: tuple[Source, ...]
    if task.generator is not None:
        sources = (GeneratedRows(spec, task, reporter).source(),)
    else:
        sources = train_sources(task, index, warn or _discard)
    return (FilteredRows(spec, task, sources, reporter).source(),) if task.filters else sources


def validation_rows(
    spec: Spec, index: int, task: TaskSpec, reporter: Reporter, warn: Callable[[str], None] | None = None
) -> tuple[Source, ...]:
    """Return the sources of a task's validation rows, where these are not held out; no filter is applied.

    Arguments and errors are those of ``task_rows``.
    """
    if task.valid_generator is not None:
        return (GeneratedRows(spec, task, reporter, "validation").source(),)
    return valid_sources(task, index, warn or _discard)


def generated_names(spec: Spec, task: str | None = None) -> list[str]:
    """Return the names of the rows that ``generate_tasks`` makes: "TASK" and "TASK (valid)"."""
    names = []
    for found in spec.tasks:
        if task in (None, found.name):
            names += [label(found.name, "training")] if found.generator is not None else []
            names += [label(found.name, "validation")] if found.valid_generator is not None else []
    return names


@with_own_plugins
def generate_tasks(spec: Spec, task: str | None, reporter: Reporter) -> dict[str, Path]:
    """Make the rows of every task with a generator, or of ``task`` alone: name of the rows to their file.

    The names are those of ``generated_names``. Raises MftError if there is nothing to make.
    """
    with_generator = [found for found in spec.tasks if found.generator or found.valid_generator]
    if task is not None and all(found.name != task for found in with_generator):
        known = ", ".join(found.name for found in with_generator) or "none"
        raise MftError(f"this spec has no task {task} with a generator (tasks with one: {known})")
    if not with_generator:
        raise MftError("no task in this spec has a generator, so there is nothing to generate")
    made = {}
    for index, found in enumerate(spec.tasks):
        if task not in (None, found.name):
            continue
        if found.generator is not None:
            made[found.name] = Path(task_rows(spec, index, found, reporter)[0].name)
        if found.valid_generator is not None:
            rows = GeneratedRows(spec, found, reporter, "validation").source()
            made[label(found.name, "validation")] = rows.path
    return made


def _discard(message: str) -> None:
    del message
