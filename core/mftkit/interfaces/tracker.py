"""The interface of a tracker: receives a run's numbers, besides metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.run_info import RunInfo


@documented
class Tracker(Component[OptionsT]):
    """Receives a run's numbers as they are measured; in the spec one of ``trackers``.

    In a run with several processes only the first one tracks. An MftError from ``start`` ends the run before its
    first step; any other failure is reported once, and the run continues.
    """

    packages: ClassVar[dict[str, str]] = {}
    """Modules that it needs, each with the name by which pip installs it; if one is missing, the run ends early."""

    @required
    def start(self, run: RunInfo, directory: Path, step: int) -> None:
        """Called before the first step.

        Args:
            run: name, output directory, resolved spec and tasks of the run.
            directory: a path for this tracker in the run directory; not created yet, and removed by --fresh.
            step: 0 for a new run, else the step from which it resumes: later steps are logged again.
        """
        raise NotImplementedError

    @required
    def log(self, step: int, values: dict[str, float]) -> None:
        """Numbers of a step, as "train/loss" or "valid/tasks/NAME/loss"; a step may come twice, with other names."""
        raise NotImplementedError

    @required
    def end(self, reason: str) -> None:
        """Called at the end: "finished", "early-stopped", "interrupted" or "failed"."""
        raise NotImplementedError
