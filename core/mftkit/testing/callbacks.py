"""Checks of every callback."""

from __future__ import annotations

import copy
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.run_info import NO_REASON, RunInfo
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.interfaces.callback import Callback

REASONS = ("finished", "early-stopped", "interrupted", "failed")


class CallbackConformance(Conformance):
    """Checks of ``mftkit.Callback`` on short runs that are only played."""

    stops: list[str]
    """The reasons for which the callback asked the run to stop, in the last ``play``."""

    @contextmanager
    def run(self) -> Iterator[RunInfo]:
        """Provide a new run with an empty directory, whose requests to stop are kept in ``stops``."""
        self.stops = []
        names = tuple(task.name for task in self.tasks)
        spec = {"name": "tried", "seed": 7, "tasks": [{"name": name, "train": ["a"]} for name in names]}
        with tempfile.TemporaryDirectory() as output:
            yield RunInfo("tried", Path(output), spec, names, request_stop=self.stops.append)

    def play(
        self, run: RunInfo, at: int = 0, end: int = 4, reason: str = "finished", callback: Any = None
    ) -> Any:
        """Simulate a run from step ``at`` to ``end``: every second step logs; the last one is validated and saved."""
        callback = self.make() if callback is None else callback
        callback.on_run_start(run, at)
        for step in range(at + 1, end + 1):
            callback.on_step_end(run, step, self.train_line(step) if step % 2 == 0 else {})
        if end > at:
            callback.on_validation_end(run, end, self.valid_line(end))
            callback.on_checkpoint(run, end, run.output / "checkpoints" / f"step-{end:08d}")
        callback.on_run_end(run, reason, "RuntimeError: broke" if reason == "failed" else None)
        return callback

    def train_line(self, step: int) -> dict[str, Any]:
        """A "train" line."""
        tasks = {
            task.name: {"loss": 10.0 / step, "weight": 1.0, "tokens": 20, "samples": 2} for task in self.tasks
        }
        return {
            "event": "train", "step": step, "epoch": step / 10, "loss": 10.0 / step, "tasks": tasks,
            "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_second": 100.0, "padding": 0.1,
        }  # fmt: skip

    def valid_line(self, step: int) -> dict[str, Any]:
        """A "valid" line."""
        tasks = {task.name: {"loss": 8.0 / step, "tokens": 9} for task in self.tasks if task.valid_samples}
        return {"event": "valid", "step": step, "loss": 8.0 / step, "tasks": tasks}

    def test_its_packages_are_there(self) -> None:
        """Every module in ``packages`` can be imported; each is listed with the name to pip install."""
        for module, package in self.component.packages.items():
            outermost = module.partition(".")[0]
            require(find_spec(outermost) is not None, f"{module} is not installed: pip install {package}")

    def test_a_run(self) -> None:
        """It is called through a whole run, and then another one by a new callback."""
        for _ in range(2):
            with self.run() as run:
                self.play(run)

    def test_every_end(self) -> None:
        """It accepts each reason for the end of a run, also right after the start."""
        for reason in REASONS:
            for end in (0, 3):
                with self.run() as run:
                    self.play(run, end=end, reason=reason)

    def test_reasons_to_stop(self) -> None:
        """Where it asks the run to stop, it gives a reason."""
        with self.run() as run:
            self.play(run, end=30)
            require(
                all(reason != NO_REASON for reason in self.stops), "run.stop() is called without a reason"
            )

    def test_state_through_a_checkpoint(self) -> None:
        """``torch.load(weights_only=True)`` reads what ``state_dict`` returns, and a new callback loads it."""
        import torch

        with self.run() as run:
            first: Callback = self.play(run, reason="interrupted")
            buffer = BytesIO()
            torch.save(first.state_dict(), buffer)
            buffer.seek(0)
            state = torch.load(buffer, weights_only=True)
            second: Callback = self.make()
            second.load_state_dict(state)
            self.play(run, at=4, end=6, callback=second)

    def test_it_changes_nothing_it_is_given(self) -> None:
        """It does not modify the metrics it is given, or the run's spec."""
        with self.run() as run:
            train, valid, spec = self.train_line(2), self.valid_line(2), copy.deepcopy(run.spec)
            callback = self.make()
            callback.on_run_start(run, 0)
            callback.on_step_end(run, 2, train)
            callback.on_validation_end(run, 2, valid)
            callback.on_run_end(replace(run), "finished", None)
            same = train == self.train_line(2) and valid == self.valid_line(2)
            require(same, "it changes the metrics that it is given")
            require(run.spec == spec, "it changes the spec in run.spec")
