"""Calls the run hooks of plugins (``mftkit.plugins.hookspecs``) as a run proceeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed
from mftkit.reporting.listener import Listener

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.run_info import RunInfo
    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.listener import FailureReport
    from mftkit.reporting.outcome import Outcome


class HookCaller(Listener):
    """Passes what happens in a run on to every plugin that implements the hook for it."""

    name = "run hooks"

    def __init__(self, run: RunInfo, failures: FailureReport) -> None:
        self._run = run
        self._failures = failures

    def started(self, step: int) -> None:  # noqa: ARG002
        """Call ``on_run_start``."""
        self._fire("on_run_start")

    def step_ended(self, step: int, line: TrainLine | None) -> None:
        """Call ``on_step_end``; its metrics are empty where the step does not log."""
        self._fire("on_step_end", step=step, metrics=line.to_json() if line else {})

    def validated(self, line: ValidLine) -> None:
        """Call ``on_validation_end``."""
        self._fire("on_validation_end", step=line.step, metrics=line.to_json())

    def saved(self, step: int, path: Path) -> None:
        """Call ``on_checkpoint``."""
        self._fire("on_checkpoint", step=step, path=path)

    def ended(self, outcome: Outcome) -> None:
        """Call ``on_run_end``."""
        self._fire("on_run_end", reason=outcome.reason, error=outcome.error)

    def _fire(self, hook: str, **facts: object) -> None:
        for plugin, error in installed.registry().fire(hook, run=self._run, **facts):
            owner = f'plugin "{plugin.entry_point}" ({plugin.distribution} {plugin.version})'
            self._failures(owner, error, where=hook)
