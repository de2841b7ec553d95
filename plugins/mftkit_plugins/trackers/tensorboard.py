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

    A resumed run writes another event file, which hides the later steps of the earlier files.
    """

    packages: ClassVar[dict[str, str]] = {"tensorboard": "tensorboard"}

    class Options(mftkit.Options):
        """Options of the tracker."""

        directory: mftkit.SpecPath | None = None
        """Directory for event files, in a subdirectory named after the run; null: the run directory."""

    options: Options

    def start(self, run: RunInfo, directory: Path, step: int) -> None:
        """Open a new event file."""
        from accelerate.tracking import TensorBoardTracker

        place = self.options.directory or directory
        past = step + 1 if step else 0  # a run killed before its first checkpoint starts over
        self._tracker = TensorBoardTracker(run.name, str(place), purge_step=past)
        self._tracker.start()
        if not step:
            self._tracker.log({"spec": f"```json\n{json.dumps(run.spec, indent=2)}\n```"}, step=0)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Log scalars, flushed to the file."""
        self._tracker.log(values, step=step)

    def end(self, reason: str) -> None:
        """Log the reason, and close the file."""
        self._tracker.log({"end": reason})
        self._tracker.finish()
