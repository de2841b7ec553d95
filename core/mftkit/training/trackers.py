"""Gives a run's numbers to the trackers that its spec names."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.interfaces.run_info import RunInfo
    from mftkit.interfaces.tracker import Tracker
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec

DIRECTORY = "trackers"
"""Of the run directory; each tracker has one of its own in it."""


def make_trackers(spec: Spec) -> dict[str, Tracker]:
    """The trackers that the spec names, by name.

    Raises:
        MftError: a package that one of them needs is not installed.
    """
    made: dict[str, Tracker] = {
        ref.name: installed.build(kinds.TRACKER, ref.name, ref.options) for ref in spec.trackers
    }
    lacking = {
        module: package
        for tracker in made.values()
        for module, package in tracker.packages.items()
        if not _installed(module)
    }
    if lacking:
        users = [name for name, tracker in made.items() if tracker.packages.keys() & lacking]
        raise MftError(
            f"trackers: {', '.join(users)} cannot be used: not installed: {', '.join(lacking)}; "
            f"pip install {' '.join(dict.fromkeys(lacking.values()))}, or take it out of the spec."
        )
    return made


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def flatten(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a train or valid line by path, those that are null left out.

    >>> flatten({"event": "train", "step": 1, "loss": 2, "tasks": {"a": {"loss": 3.0, "weight": None}}})
    {'train/loss': 2.0, 'train/tasks/a/loss': 3.0}
    """
    return dict(_numbers(f"{line['event']}/", {k: v for k, v in line.items() if k != "step"}))


def _numbers(prefix: str, values: dict[str, Any]) -> list[tuple[str, float]]:
    found = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _numbers(f"{prefix}{key}/", value)
        elif isinstance(value, int | float):
            found.append((prefix + key, float(value)))
    return found


@dataclass(frozen=True)
class Tracking:
    """The trackers of one run; one that fails is told once, and the run goes on."""

    trackers: dict[str, Tracker]
    reporter: Reporter
    run: RunInfo
    _told: set[str] = field(default_factory=set)

    def start(self, step: int) -> None:
        """Before the first step after ``step``; one that does not start is left out."""
        for name, tracker in list(self.trackers.items()):
            try:
                tracker.start(self.run, self.run.output / DIRECTORY / name, step)
            except MftError:
                raise
            except (Exception, SystemExit) as error:
                self._tell(name, error)
                del self.trackers[name]

    def log(self, line: dict[str, Any]) -> None:
        """A train or valid line."""
        step, values = line["step"], flatten(line)
        self._each(lambda tracker: tracker.log(step, values))

    def end(self, reason: str) -> None:
        """After the last line."""
        self._each(lambda tracker: tracker.end(reason))

    def _each(self, use: Callable[[Tracker], None]) -> None:
        for name, tracker in self.trackers.items():
            try:
                use(tracker)
            except (Exception, SystemExit) as error:
                self._tell(name, error)

    def _tell(self, name: str, error: BaseException) -> None:
        if name not in self._told:
            self._told.add(name)
            what = " ".join(str(error).split())
            self.reporter.warn(
                f'tracker "{name}" failed, and the run goes on: {type(error).__name__}: {what}; this is told once '
                "(metrics.jsonl holds every number)"
            )
