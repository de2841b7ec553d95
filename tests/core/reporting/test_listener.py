"""The fan-out of a run's events: all are called, one that fails is reported once and hurts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mftkit.reporting.lines import ValidLine
from mftkit.reporting.listener import FailureReport, Listener, Listeners
from mftkit.reporting.outcome import Outcome
from mftkit_registry import MftError
from recorder import Recorder

VALID = ValidLine(0, 1.0, {})


class Calls(Listener):
    """Keeps what it is called with, and fails where it is asked to."""

    def __init__(self, name: str, fails_with: BaseException | None = None, at: str = "") -> None:
        self.name = name
        self.calls: list[str] = []
        self._error, self._at = fails_with, at

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if self._error is not None and self._at in ("", method):
            raise self._error

    def started(self, step: int) -> None:
        self._called("started")

    def validated(self, line: ValidLine) -> None:
        self._called("validated")

    def saved(self, step: int, path: Path) -> None:
        self._called("saved")

    def ended(self, outcome: Outcome) -> None:
        self._called("ended")


def play(listeners: Listener) -> None:
    listeners.started(0)
    listeners.validated(VALID)
    listeners.step_ended(1, None)
    listeners.saved(1, Path("x"))
    listeners.ended(Outcome("finished", 1, None))


def fan_out(*listeners: Listener) -> tuple[Listeners, Recorder]:
    reporter = Recorder()
    return Listeners(reporter, listeners, FailureReport(reporter.warn)), reporter


@pytest.mark.parametrize("error", [ConnectionError("gone\naway"), SystemExit("bye"), MftError("no")])
def test_one_that_fails_is_reported_once_and_the_others_hear_everything(error: BaseException) -> None:
    weak, good = Calls("tracker of acme 1.0", error, "validated"), Calls("good")
    listeners, reporter = fan_out(weak, good)
    play(listeners)
    listeners.validated(VALID)
    assert good.calls == ["started", "validated", "saved", "ended", "validated"]
    assert weak.calls == good.calls
    [warning] = reporter.warnings
    assert warning.startswith(f"tracker of acme 1.0 failed: {type(error).__name__}: ")
    assert "\n" not in warning
    assert "The run continues" in warning


def test_one_that_does_not_start_is_not_called_again() -> None:
    weak, good = Calls("weak", ConnectionError("gone"), "started"), Calls("good")
    listeners, reporter = fan_out(weak, good)
    play(listeners)
    assert weak.calls == ["started"]
    assert good.calls == ["started", "validated", "saved", "ended"]
    assert len(reporter.warnings) == 1


def test_one_that_refuses_to_start_ends_the_run() -> None:
    listeners, reporter = fan_out(Calls("strict", MftError("log in first")))
    with pytest.raises(MftError, match="log in first"):
        listeners.started(0)
    assert reporter.warnings == []


def test_a_fault_of_the_reporter_itself_passes() -> None:
    listeners = Listeners(Calls("display", ValueError("bug")), [], FailureReport(lambda _: None))
    with pytest.raises(ValueError, match="bug"):
        listeners.validated(VALID)


def test_the_reporter_says_what_a_signal_does_and_which_task_stopped() -> None:
    listeners, reporter = fan_out()
    listeners.stop_requested("SIGINT")
    listeners.task_stopped("repair", 40)
    assert reporter.notes[0].startswith("SIGINT received: finishing this step, then saving.")
    assert (
        reporter.notes[1] == "early stopping for task repair: no improvement; its weight is 0 after step 40"
    )
