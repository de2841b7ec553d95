"""Ends a run after a given time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import Field

import mftkit

if TYPE_CHECKING:
    from mftkit import JsonObject


class StopAtTimeOptions(mftkit.Options):
    """Options of the time limit."""

    hours: float = Field(gt=0, allow_inf_nan=False)
    """Hours of training, validations and checkpoints included, after which the run ends; the last validation and
    writing the result come on top."""


class StopAtTime(mftkit.Callback["StopAtTimeOptions"]):
    """Ends the run after the first step that exceeds ``hours`` from the start of training.

    The time of a run that was interrupted counts up to the checkpoint from which it resumes. The learning rate follows
    the spec's schedule: it has not reached its end when the run is stopped.
    """

    Options = StopAtTimeOptions

    def __init__(
        self, options: StopAtTimeOptions | None = None, tasks: tuple[mftkit.TaskInfo, ...] = ()
    ) -> None:
        super().__init__(options, tasks)
        self._before = 0.0
        self._started: float | None = None

    def on_run_start(self, run: mftkit.RunInfo, step: int) -> None:  # noqa: ARG002
        """Start the clock."""
        self._started = time.monotonic()

    def on_step_end(self, run: mftkit.RunInfo, step: int, metrics: JsonObject) -> None:  # noqa: ARG002
        """Stop the run if the time is over."""
        if self._seconds() >= self.options.hours * 3600:
            run.stop(f"{self.options.hours:g} hours are over")

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from these seconds."""
        self._before = float(state["seconds"])

    def _seconds(self) -> float:
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)
