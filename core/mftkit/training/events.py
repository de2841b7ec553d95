"""Calls the run hooks of plugins (``mftkit.plugins.hookspecs``) as a run proceeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed
from mftkit.reporting.listener import Listener
from mftkit.training.stop_requests import StopRequests

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.run_info import RunInfo
    from mftkit.reporting.lines import TrainLine, ValidLine
    from mftkit.reporting.listener import FailureReport
    from mftkit.reporting.outcome import Outcome


class HookCaller(Listener):
    """Passes what happens in a run on to every plugin that implements the hook for it."""

    name = "run hooks"

    def __init__(self, run: RunInfo, failures: FailureReport, stops: StopRequests | None = None) -> None:
        self._run = run
        self._failures = failures
        self._stops = stops or StopRequests()

    def started(self, step: int) -> None:
        """Call ``on_run_start``."""
        self._fire("on_run_start", step=step)

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
        for plugin, listener in installed.registry().listeners(hook):
            run = self._stops.info_for(f"plugin {plugin.entry_point}", self._run)
            try:
                listener({"run": run, **facts})
            except (Exception, SystemExit) as error:
                package = "" if plugin.sha256 else f" ({plugin.distribution} {plugin.version})"
                self._failures(f'plugin "{plugin.entry_point}"{package}', error, where=hook)
