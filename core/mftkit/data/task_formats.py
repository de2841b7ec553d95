"""The task formats of a run: built from the spec, with the context in which they read rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.interfaces.component import TaskInfo
from mftkit.interfaces.task_format import FormatContext, TaskFormat, no_note
from mftkit.plugins import installed, kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.interfaces.task_format import Note
    from mftkit.spec import Spec, TaskSpec


def tasks_before_data(tasks: Sequence[TaskSpec]) -> tuple[TaskInfo, ...]:
    """Return the run's tasks as components see them before any data is read: without numbers of samples."""
    return tuple(TaskInfo(task.name, task.weight) for task in tasks)


def build_task_format(spec: Spec, task: TaskSpec) -> TaskFormat:
    """Return the format of a task."""
    made: TaskFormat = installed.build(
        kinds.TASK_FORMAT, task.format.name, task.format.options, tasks_before_data(spec.tasks)
    )
    return made


def uses_chat(task: TaskSpec) -> bool:
    """Return True if the task's samples are made with the run's chat format."""
    return installed.component_class(kinds.TASK_FORMAT, task.format.name).uses_chat


def reading_context(spec: Spec, task: str, note: Note | None = None) -> FormatContext:
    """Return the context in which rows of a task are read, without a tokenizer.

    ``note`` receives what is reported of rows; None: it is discarded, because another reader reports it.
    """
    seed = spec.seed if spec.data.seed is None else spec.data.seed
    return FormatContext(task, seed, note or no_note, repairs=spec.data.on_bad_row == "skip")
