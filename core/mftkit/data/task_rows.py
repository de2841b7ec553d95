"""Entry point of reading a task's training rows: its files or its generator's rows, then its filters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.data.made.filtered import FilteredRows
from mftkit.data.made.generated import GeneratedRows
from mftkit.data.rows.sources import train_sources
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


@with_own_plugins
def generate_tasks(spec: Spec, task: str | None, reporter: Reporter) -> dict[str, Path]:
    """Make the rows of every task with a generator, or of ``task`` alone: task name to file of rows.

    Raises MftError if there is nothing to make.
    """
    with_generator = [found for found in spec.tasks if found.generator is not None]
    if task is not None and all(found.name != task for found in with_generator):
        known = ", ".join(found.name for found in with_generator) or "none"
        raise MftError(f"this spec has no task {task} with a generator (tasks with one: {known})")
    if not with_generator:
        raise MftError("no task in this spec has a generator, so there is nothing to generate")
    return {
        found.name: Path(task_rows(spec, spec.tasks.index(found), found, reporter)[0].name)
        for found in with_generator
        if task in (None, found.name)
    }


def _discard(message: str) -> None:
    del message
