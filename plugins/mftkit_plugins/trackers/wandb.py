"""Weights & Biases."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit import RunInfo


class WeightsAndBiases(mftkit.Tracker):
    """A run of Weights & Biases; the train and the valid numbers of a step are one row of its history.

    A run that goes on keeps its id, so that "wandb sync" finds its parts to be of one run.
    """

    packages: ClassVar[dict[str, str]] = {"wandb": "wandb"}

    class Options(mftkit.Options):
        """Options of the tracker."""

        mode: Literal["offline", "online"] = "offline"
        """ "offline": files in the run directory, for "wandb sync"; "online": sent as the run goes."""
        project: str = "mftkit"
        """The project there."""
        entity: str | None = None
        """The user or team that the project is of; null: the one logged in."""
        tags: tuple[str, ...] = ()
        """Tags of the run."""

    options: Options

    def start(self, run: RunInfo, directory: Path, step: int) -> None:  # noqa: ARG002  # the interface's
        """Begin, or go on with, the run of this directory; without a login ``mode`` "online" fails."""
        import wandb
        from accelerate import PartialState
        from accelerate.tracking import WandBTracker

        PartialState()  # which the tracker's own messages ask for, also where no run has made it yet
        directory.mkdir(parents=True, exist_ok=True)
        given = self.options
        self._tracker: Any = WandBTracker(
            given.project,
            id=_identity(directory / "id"),
            name=run.name,
            entity=given.entity,
            tags=list(given.tags),
            config=run.spec,
            dir=str(directory),
            mode=given.mode,
            # Offline there is nobody to ask whether the id is known.
            resume="allow" if given.mode == "online" else None,
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._tracker.start()

    def log(self, step: int, values: dict[str, float]) -> None:
        """A row of the history; a step before its newest one is left out by Weights & Biases."""
        self._tracker.log(values, step=step)

    def end(self, reason: str) -> None:
        """Note the reason, and finish."""
        run = self._tracker.tracker
        run.summary["end"] = reason
        run.finish(exit_code=1 if reason == "failed" else 0)


def _identity(file: Path) -> str:
    """The run's id, made once for a run directory."""
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return file.read_text(encoding="utf-8")
