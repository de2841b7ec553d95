from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.testing import ConformanceError, TrackerConformance


class Keeps(mftkit.Tracker):
    def start(self, run: mftkit.RunInfo, directory: Path, step: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory

    def log(self, step: int, values: dict[str, float]) -> None:
        (self.directory / str(step)).write_text(str(values))

    def end(self, reason: str) -> None:
        pass


class StartsOnce(Keeps):
    def start(self, run: mftkit.RunInfo, directory: Path, step: int) -> None:
        directory.mkdir(parents=True)
        self.directory = directory


class OneReason(Keeps):
    def end(self, reason: str) -> None:
        {"finished": None}[reason]


class WritesBeside(Keeps):
    def end(self, reason: str) -> None:
        (self.directory.parents[1] / "metrics.jsonl").write_text("")


class Meddles(Keeps):
    def log(self, step: int, values: dict[str, float]) -> None:
        values.clear()


class Lacks(Keeps):
    packages = {"no_such_module": "no-such-package"}


def suite(component: type[Any]) -> TrackerConformance:
    made = TrackerConformance()
    made.component = component  # type: ignore[misc]
    return made


def test_one_that_does_all_is_let_through() -> None:
    for name in dir(TrackerConformance):
        if name.startswith("test_"):
            getattr(suite(Keeps), name)()


@pytest.mark.parametrize(
    ("component", "check", "error", "message"),
    [
        (StartsOnce, "a_resumed_run", FileExistsError, "tried"),
        (OneReason, "every_end", KeyError, "early-stopped"),
        (WritesBeside, "its_place", ConformanceError, "metrics.jsonl"),
        (Meddles, "it_changes_nothing_it_is_given", ConformanceError, "log changes"),
        (Lacks, "its_packages_are_there", ConformanceError, "pip install no-such-package"),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, error: type[Any], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(suite(component), f"test_{check}")()
