"""TensorBoard event files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit import RunInfo


class TensorBoard(mftkit.Tracker):
    """Scalars by step, and the spec as text.

    A resumed run writes another event file, which hides the later steps of the earlier files; so does a run that goes
    back to an earlier step.
    """

    packages: ClassVar[dict[str, str]] = {"tensorboard": "tensorboard"}

    class Options(mftkit.Options):
        """Options of the tracker."""

        directory: mftkit.SpecPath | None = None
        """Directory for event files, in a subdirectory named after the run; null: the run directory."""

    options: Options

    def start(self, run: RunInfo, directory: Path, step: int) -> None:
        """Open a new event file."""
        self._name, self._place = run.name, self.options.directory or directory
        self._open(step + 1 if step else 0)  # a run killed before its first checkpoint starts over
        if not step:
            self._tracker.log({"spec": f"```json\n{json.dumps(run.spec, indent=2)}\n```"}, step=0)

    def _open(self, first: int) -> None:
        """Open an event file that hides the steps of others from ``first`` on."""
        from accelerate.tracking import TensorBoardTracker

        self._newest = 0
        self._tracker = TensorBoardTracker(self._name, str(self._place), purge_step=first)
        self._tracker.start()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Log scalars, flushed to the file."""
        if step < self._newest:
            self._tracker.finish()
            self._open(step)
        self._newest = step
        self._tracker.log(values, step=step)

    def end(self, reason: str) -> None:
        """Log the reason, and close the file."""
        self._tracker.log({"end": reason})
        self._tracker.finish()
