"""The state in a checkpoint beside the weights. ``Trainer.save`` writes it, and ``Trainer.resume`` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from mftkit.training.balancing import BalancingState
    from mftkit.training.meter import MeterState
    from mftkit.training.mixing import MixingState, StreamState
    from mftkit.training.schedule import ScheduleState
    from mftkit.training.validation_history import ValidationHistoryState


class Progress(TypedDict):
    """How far the run is."""

    step: int
    """Optimizer steps done."""
    standing: ValidationHistoryState
    metric: NotRequired[ValidationHistoryState | None]
    """Of the metric that decides instead of the losses, if one does."""
    total: NotRequired[int]
    """The step at which the run ends; not in checkpoints of the first versions, like ``schedule``."""
    schedule: NotRequired[ScheduleState]


class ProcessState(TypedDict):
    """The state that each process has for itself."""

    random: dict[str, Any]
    """State of every random number generator (``mftkit.base.random_state.random_state``)."""
    meter: MeterState


class TrainingState(TypedDict):
    """All that a resumed run needs beside the weights; ``torch.load(weights_only=True)`` reads it.

    The keys are those of the first versions. Checkpoints of these have more ("stopped" in ``progress`` and in
    ``balancing``), which follow from the validations and are not read.
    """

    progress: Progress
    optimizer: dict[str, Any]
    balancing: BalancingState
    gradients: dict[str, Any]
    processes: list[ProcessState]
    """By rank."""
    seconds: float
    """Spent in steps since the last train line."""
    callbacks: NotRequired[dict[str, Any]]
    """The states of the callbacks that have one, by the callback's key."""
    mixer: NotRequired[MixingState | StreamState | None]
    """Of a run whose mixing changes or whose data is streamed, else None; not in checkpoints of the first versions."""
