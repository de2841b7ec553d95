"""The checkpoint to which a run goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.runs.checkpoint import CheckpointError
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mftkit.runs.checkpoint import Checkpoint
    from mftkit.training.validation_history import Rollback, ValidationHistory


def read_checkpoint(
    rollback: Rollback,
    history: ValidationHistory,
    directory: Path,
    saved: list[int],
    read: Callable[[int], Checkpoint],
) -> tuple[Rollback, Checkpoint]:
    """Return the roll-back with the step whose checkpoint is used, and that checkpoint.

    It is that of the task's best step; if it is lost, that of the best step of those whose checkpoints are left. All
    processes take part.

    Args:
        rollback: that is due.
        history: which has decided it.
        directory: of the checkpoints, for a message.
        saved: the steps with a checkpoint.
        read: returns the checkpoint of a step, or raises CheckpointError in all processes.

    Raises:
        MftError: no checkpoint of a validated step is left.
    """
    for step in history.from_best_to_worst(rollback.task):
        if step in saved:
            try:
                return rollback._replace(to=step), read(step)
            except CheckpointError:
                continue
    raise MftError(
        f"{directory}: the checkpoint of step {rollback.to}, the best of task "
        f"{history.task_names[rollback.task]}, is lost, and so are those of all other validations, so the run cannot "
        "go back; use --fresh to start over"
    )
