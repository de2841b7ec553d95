"""The weights of a checkpoint, restored in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from mftkit.interfaces.tuning import Tuning
    from mftkit.runs.checkpoint import CheckpointStore


def restore_weights(tuning: Tuning, model: nn.Module, store: CheckpointStore, step: int) -> None:
    """Give a tuned model the weights of the checkpoint of a step.

    Shards are read into the model's own tensors, so that no weight is in memory twice.

    Raises:
        CheckpointError: a file is missing, cut short or altered.
    """
    tuning.load_state_dict(model, store.read_weights(step, tuning.state_dict(model))[0])
