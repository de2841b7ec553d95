"""Weights & Biases."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar, Literal

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit import RunInfo


class WeightsAndBiases(mftkit.Tracker):
    """A run of Weights & Biases; the train and the valid numbers of a step are one row of its history.

    A resumed run keeps its id, so that "wandb sync" joins its parts into one run.
    """

    packages: ClassVar[dict[str, str]] = {"wandb": "wandb"}

    class Options(mftkit.Options):
        """Options of the tracker."""

        mode: Literal["offline", "online"] = "offline"
        """Where the run goes. "offline": files in the run directory, for wandb sync; "online": sent during the run."""
        project: str = "mftkit"
        """The project in Weights & Biases."""
        entity: str | None = None
        """The user or team that owns the project; null: the one logged in."""
        tags: tuple[str, ...] = ()
        """Tags of the run."""

    options: Options

    def start(self, run: RunInfo, directory: Path, step: int) -> None:  # noqa: ARG002  # the interface's
        """Start or resume the run of this directory; ``mode`` "online" fails without a login."""
        import wandb
        from accelerate import PartialState
        from accelerate.tracking import WandBTracker

        PartialState()  # the tracker's messages need it, even if no run has created it
        directory.mkdir(parents=True, exist_ok=True)
        options = self.options
        self._tracker = WandBTracker(
            options.project,
            id=_identity(directory / "id"),
            name=run.name,
            entity=options.entity,
            tags=list(options.tags),
            config=run.spec,
            dir=str(directory),
            mode=options.mode,
            # Offline there is no server that could say whether the id exists.
            resume="allow" if options.mode == "online" else None,
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._tracker.start()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Log a row of the history; Weights & Biases skips steps before the newest one."""
        self._tracker.log(values, step=step)

    def end(self, reason: str) -> None:
        """Log the reason, and finish."""
        run = self._tracker.tracker
        run.summary["end"] = reason
        run.finish(exit_code=1 if reason == "failed" else 0)


def _identity(file: Path) -> str:
    """The run's id, created once per run directory."""
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return file.read_text(encoding="utf-8")
