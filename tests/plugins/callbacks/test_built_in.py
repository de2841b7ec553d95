"""The built-in callbacks: the interface, and when they stop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import mftkit
import mftkit.testing
from mftkit_plugins.callbacks import stop_at_time
from mftkit_plugins.callbacks.stop_at_loss import StopAtLoss
from mftkit_plugins.callbacks.stop_at_time import StopAtTime


class TestStopAtTime(mftkit.testing.CallbackConformance):
    component = StopAtTime
    options = {"hours": 2}

    def test_time_of_all_sessions_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(stop_at_time, "time", SimpleNamespace(monotonic=lambda: now))
        first = self.make()
        with self.run() as run:
            first.on_run_start(run, 0)
            now += 3600
            first.on_step_end(run, 1, {})
            state = first.state_dict()
            assert state == {"seconds": 3600.0}
            now += 50_000  # between the sessions
            second = self.make()
            second.load_state_dict(state)
            second.on_run_start(run, 1)
            now += 3599
            second.on_step_end(run, 2, {})
            assert self.stops == []
            now += 1
            second.on_step_end(run, 3, {})
            assert self.stops == ["2 hours are over"]


class TestStopAtLoss(mftkit.testing.CallbackConformance):
    component = StopAtLoss
    options = {"loss": 1.5}

    def test_the_mean_after_a_step(self) -> None:
        with self.run() as run:
            for step, loss in ((0, 1.0), (1, 1.6), (2, None), (3, 1.5)):
                self.make().on_validation_end(run, step, {"loss": loss, "tasks": {}})
            assert self.stops == ["the mean validation loss is 1.5, not above 1.5"]


class TestStopAtLossOfATask(mftkit.testing.CallbackConformance):
    component = StopAtLoss
    options = {"loss": 1.5, "task": "second"}

    def test_the_tasks_own(self) -> None:
        with self.run() as run:
            for loss in (2.0, 1.25):
                lines: Any = {"first": {"loss": 0.0}, "second": {"loss": loss}}
                self.make().on_validation_end(run, 4, {"loss": 0.0, "tasks": lines})
            assert self.stops == ["the validation loss of second is 1.25, not above 1.5"]


def test_stop_at_loss_needs_validation() -> None:
    options = StopAtLoss.Options(loss=1.0)
    with pytest.raises(mftkit.MftError, match="no task has validation samples"):
        StopAtLoss(options, (mftkit.TaskInfo("a"),))
