"""Passes a run's numbers on to the trackers that its spec names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.optional_packages import missing_packages, missing_packages_text
from mftkit.plugins import installed, kinds
from mftkit.reporting.listener import Listener
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.run_info import RunInfo
    from mftkit.interfaces.tracker import Tracker
    from mftkit.reporting.lines import EvaluationLine, TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome
    from mftkit.spec import Spec

DIRECTORY = "trackers"
"""In the run directory; each tracker has its own directory in it."""


def make_trackers(spec: Spec) -> dict[str, Tracker]:
    """The trackers that the spec names, by name.

    Raises:
        MftError: a package that one of them needs is not installed.
    """
    trackers: dict[str, Tracker] = {
        ref.name: installed.build(kinds.TRACKER, ref.name, ref.options) for ref in spec.trackers
    }
    packages = {
        module: package for tracker in trackers.values() for module, package in tracker.packages.items()
    }
    missing = missing_packages(packages)
    if missing:
        users = [name for name, tracker in trackers.items() if tracker.packages.keys() & missing]
        raise MftError(
            f"trackers: {', '.join(users)} cannot be used: {missing_packages_text(missing)}, or remove it from the "
            "spec."
        )
    return trackers


def listening_trackers(trackers: Mapping[str, Tracker], run: RunInfo) -> list[Listener]:
    """A listener for each of the trackers that ``make_trackers`` made."""
    return [TrackerListener(name, tracker, run) for name, tracker in trackers.items()]


class TrackerListener(Listener):
    """Passes a run's numbers on to one tracker."""

    def __init__(self, name: str, tracker: Tracker, run: RunInfo) -> None:
        self.name = f'tracker "{name}" of {installed.registry().get(kinds.TRACKER, name).origin}'
        self._tracker = tracker
        self._run = run
        self._directory = run.output / DIRECTORY / name

    def started(self, step: int) -> None:
        """Start the tracker."""
        self._tracker.start(self._run, self._directory, step)

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Log a train line."""
        if line is not None:
            self._tracker.log(step, flatten(line.to_json()))

    def validated(self, line: ValidLine) -> None:
        """Log a valid line."""
        self._tracker.log(line.step, flatten(line.to_json()))

    def evaluated(self, line: EvaluationLine) -> None:
        """Log the values of an evaluation line, as "evaluation/tasks/TASK/EVALUATOR/METRIC"."""
        values = {
            f"evaluation/tasks/{task}/{name}": point.value
            for task, metrics in line.tasks.items()
            for name, point in metrics.items()
            if point.value is not None
        }
        self._tracker.log(line.step, values)

    def stopping(self, step: int, stopped_by: str, line: TrainLine | None) -> None:  # noqa: ARG002
        """Log the last train line."""
        if line is not None:
            self._tracker.log(step, flatten(line.to_json()))

    def ended(self, outcome: Outcome) -> None:
        """End the tracker."""
        self._tracker.end(outcome.reason)


def flatten(line: JsonObject) -> dict[str, float]:
    """The numbers of a train or valid line by path; those that are null are left out.

    >>> flatten({"event": "train", "step": 1, "loss": 2, "tasks": {"a": {"loss": 3.0, "weight": None}}})
    {'train/loss': 2.0, 'train/tasks/a/loss': 3.0}
    """
    return dict(_numbers(f"{line['event']}/", {k: v for k, v in line.items() if k != "step"}))


def _numbers(prefix: str, values: JsonObject) -> list[tuple[str, float]]:
    found = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _numbers(f"{prefix}{key}/", value)
        elif isinstance(value, int | float):
            found.append((prefix + key, float(value)))
    return found
