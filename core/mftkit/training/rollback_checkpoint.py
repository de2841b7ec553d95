"""The checkpoint to which a run goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.runs.checkpoint import CheckpointError
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.runs.checkpoint import CheckpointStore, Manifest
    from mftkit.training.validation_history import Rollback, ValidationHistory


def choose_checkpoint(
    rollback: Rollback, history: ValidationHistory, store: CheckpointStore
) -> tuple[Rollback, Manifest]:
    """Return the roll-back with the step whose checkpoint is used, and the manifest of that checkpoint, verified.

    It is the task's best step; if its checkpoint is lost, the best step of those whose checkpoints are left.

    Raises:
        MftError: no checkpoint of a validated step is left.
    """
    saved = set(store.steps())
    for step in history.from_best_to_worst(rollback.task):
        if step in saved:
            try:
                return rollback._replace(to=step), store.verify(step)
            except CheckpointError:
                continue
    raise MftError(
        f"{store.directory}: the checkpoint of step {rollback.to}, the best of task "
        f"{history.task_names[rollback.task]}, is lost, and so are those of all other validations, so the run cannot "
        "go back; use --fresh to start over"
    )
