"""Ends a run once a validation loss is low enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

import mftkit

if TYPE_CHECKING:
    from mftkit import JsonObject


class StopAtLossOptions(mftkit.Options):
    """Options of the target loss."""

    loss: float = Field(ge=0, allow_inf_nan=False)
    """The run ends at the first validation whose loss is not above this, in nats per token."""
    task: str | None = None
    """The task whose loss is watched; null: the mean over tasks."""


class StopAtLoss(mftkit.Callback["StopAtLossOptions"]):
    """Ends the run at the first validation whose loss has reached ``loss``. A validation at step 0 does not count."""

    Options = StopAtLossOptions

    def __init__(
        self, options: StopAtLossOptions | None = None, tasks: tuple[mftkit.TaskInfo, ...] = ()
    ) -> None:
        """Raise MftError if no task is validated, or not the one that is watched."""
        super().__init__(options, tasks)
        validated = [task.name for task in tasks if task.valid_samples]
        watched = self.options.task
        if tasks and watched is not None and watched not in validated:
            names = ", ".join(validated) or "none"
            raise mftkit.MftError(
                f'callbacks: stop-at-loss: the task "{watched}" has no validation samples; tasks that have some: '
                f"{names}"
            )
        if tasks and not validated:
            raise mftkit.MftError(
                "callbacks: stop-at-loss: no task has validation samples. Set tasks[].valid."
            )

    def on_validation_end(self, run: mftkit.RunInfo, step: int, metrics: JsonObject) -> None:
        """Stop the run if the loss is low enough."""
        watched = self.options.task
        loss = metrics["loss"] if watched is None else metrics["tasks"].get(watched, {}).get("loss")
        if step > 0 and loss is not None and loss <= self.options.loss:
            name = "the mean validation loss" if watched is None else f"the validation loss of {watched}"
            run.stop(f"{name} is {loss:.4g}, not above {self.options.loss:g}")
