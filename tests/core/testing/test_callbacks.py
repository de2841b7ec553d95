"""The suite of callbacks finds what is wrong with one."""

from __future__ import annotations

from typing import Any

import pytest

import mftkit
from mftkit.plugins import kinds
from mftkit.testing.running import run_suite, suite_for


class Greedy(mftkit.Callback):
    def on_step_end(self, run: Any, step: int, metrics: Any) -> None:
        metrics["extra"] = 1


class Mute(mftkit.Callback):
    def on_step_end(self, run: Any, step: int, metrics: Any) -> None:
        run.stop("")


class Stateful(mftkit.Callback):
    def state_dict(self) -> Any:
        return {"self": self}


class Late(mftkit.Callback):
    def on_run_end(self, run: Any, reason: str, error: Any) -> None:
        assert error is None


@pytest.mark.parametrize(
    ("component", "failed"),
    [
        (Greedy, ["it changes nothing it is given"]),
        (Mute, ["reasons to stop"]),
        (Stateful, ["state through a checkpoint"]),
        (Late, ["every end"]),
        (mftkit.Callback, []),
    ],
)
def test_what_is_wrong_is_found(component: Any, failed: list[str]) -> None:
    results = list(run_suite(suite_for(kinds.CALLBACK, component)))
    assert [row.check for row in results if row.outcome == "failed"] == failed
