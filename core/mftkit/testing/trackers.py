"""Checks of every tracker."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.run_info import RunInfo
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TASKS = ("first", "zweite + dritte/ü")
REASONS = ("finished", "early-stopped", "interrupted", "failed")


class TrackerConformance(Conformance):
    """Checks of ``mftkit.Tracker`` on short runs in separate directories."""

    @contextmanager
    def run(self) -> Iterator[RunInfo]:
        """Provide a new run with an empty directory."""
        with tempfile.TemporaryDirectory() as output:
            spec = {"name": "tried", "seed": 7, "tasks": [{"name": name, "train": ["a"]} for name in TASKS]}
            yield RunInfo("tried", Path(output), spec, TASKS)

    def play(self, run: RunInfo, at: int, steps: Iterable[int], reason: str = "finished") -> Any:
        """Simulate a run from step ``at`` on: log train metrics at each step and valid metrics at the last."""
        tracker, step = self.make(()), at
        tracker.start(run, run.output / "trackers" / "tried", at)
        for step in steps:
            tracker.log(step, {f"train/tasks/{name}/loss": 10.0 / step for name in TASKS})
        tracker.log(step, {"valid/mean": 1.0})
        tracker.end(reason)
        return tracker

    def test_its_packages_are_there(self) -> None:
        """Every module in ``packages`` can be imported; each is listed with the name to pip install."""
        for module, package in self.component.packages.items():
            outermost = module.partition(".")[0]
            require(find_spec(outermost) is not None, f"{module} is not installed: pip install {package}")

    def test_a_run(self) -> None:
        """A run starts without an existing directory, logs one step twice with different names, and ends."""
        with self.run() as run:
            self.play(run, 0, range(1, 5))

    def test_a_resumed_run(self) -> None:
        """A new tracker resumes in the same directory, from a step before the last logged one."""
        with self.run() as run:
            self.play(run, 0, range(1, 4), "interrupted")
            self.play(run, 2, range(3, 6))

    def test_every_end(self) -> None:
        """It accepts each reason for the end of a run, also right after the start."""
        for reason in REASONS:
            with self.run() as run:
                self.play(run, 0, (), reason)

    def test_its_place(self) -> None:
        """In the run directory, it writes only to its own directory."""
        with self.run() as run:
            self.play(run, 0, range(1, 3))
            places = {path.relative_to(run.output) for path in run.output.glob("*/*")}
            places |= {path.relative_to(run.output) for path in run.output.glob("*") if path.is_file()}
            odd = sorted(str(path) for path in places - {Path("trackers/tried")})
            require(not odd, f"the tracker wrote outside its directory: {', '.join(odd)}")

    def test_it_changes_nothing_it_is_given(self) -> None:
        """It does not modify the metrics it is given."""
        with self.run() as run:
            tracker, values = self.make(()), {"train/loss": 2.0}
            tracker.start(run, run.output / "trackers" / "tried", 0)
            tracker.log(1, values)
            tracker.end("finished")
            require(values == {"train/loss": 2.0}, "log changes the metrics that it is given")
