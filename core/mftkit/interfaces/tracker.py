"""The interface of a tracker: where a run's numbers go besides metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.run_info import RunInfo


@documented
class Tracker(Component[OptionsT]):
    """Takes a run's numbers as they are measured; in the spec one of ``trackers``.

    In a run of several processes only the first one tracks. What ``start`` raises as MftError ends the run
    before its first step; any other failure is told once, and the run goes on.
    """

    packages: ClassVar[dict[str, str]] = {}
    """Modules that it needs, each to what pip installs it by; a missing one ends the run before any work."""

    @required
    def start(self, run: RunInfo, directory: Path, step: int) -> None:
        """Before the first step.

        Args:
            run: name, output directory, resolved spec and tasks of the run.
            directory: a place of the tracker's own in the run directory; not made yet, and removed by --fresh.
            step: 0 for a new run, else the step that it goes on from: what was logged past it comes again.
        """
        raise NotImplementedError

    @required
    def log(self, step: int, values: dict[str, float]) -> None:
        """Numbers of a step, as "train/loss" or "valid/tasks/NAME/loss"; a step may come twice, with other names."""
        raise NotImplementedError

    @required
    def end(self, reason: str) -> None:
        """The run ends: "finished", "early-stopped", "interrupted" or "failed"."""
        raise NotImplementedError
