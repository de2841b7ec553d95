"""Tells plugins and the person watching what happens in a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mftkit.plugins import installed
from mftkit.training.trackers import Tracking

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.run_info import RunInfo
    from mftkit.interfaces.tracker import Tracker
    from mftkit.reporting.reporter import Reporter


@dataclass(frozen=True)
class Events:
    """The events of one run (``mftkit.plugins.hookspecs``); a callback that fails is told once, and the run goes on."""

    reporter: Reporter
    run: RunInfo
    trackers: dict[str, Tracker] = field(default_factory=dict)
    silent: bool = False
    """In all processes but the first, which tells for all."""
    _told: set[str] = field(default_factory=set)

    @cached_property
    def _tracking(self) -> Tracking:
        return Tracking(self.trackers, self.reporter, self.run)

    def _fire(self, event: str, **facts: Any) -> None:
        if self.silent:
            return
        for plugin, error in installed.registry().fire(event, run=self.run, **facts):
            if plugin.entry_point not in self._told:
                self._told.add(plugin.entry_point)
                self.reporter.warn(
                    f'{event} of plugin "{plugin.entry_point}" ({plugin.distribution} {plugin.version}) failed, '
                    f"and the run goes on: {type(error).__name__}: {error}; this is told once"
                )

    def stopping(self, signal: str) -> None:
        """A signal came; the step under way is finished first."""
        self.reporter.note(f"{signal}: saving after this step; once more leaves at once, without")

    def task_stopped(self, name: str, step: int) -> None:
        """A task gained nothing for as long as the spec's patience."""
        if not self.silent:
            self.reporter.note(f"task {name} gets no better: its weight is 0 after step {step}")

    def started(self, step: int) -> None:
        """Before the first step after ``step``."""
        self._tracking.start(step)
        self._fire("on_run_start")

    def step_ended(self, step: int, line: dict[str, Any]) -> None:
        """After an optimizer step; ``line`` is empty where the step does not log."""
        if line:
            self.reporter.trained(line)
            self._tracking.log(line)
        self._fire("on_step_end", step=step, metrics=line)

    def validated(self, line: dict[str, Any]) -> None:
        """After a valid line."""
        self.reporter.validated(line)
        self._tracking.log(line)
        self._fire("on_validation_end", step=line["step"], metrics=line)

    def saved(self, step: int, path: Path) -> None:
        """After a checkpoint."""
        self._fire("on_checkpoint", step=step, path=path)

    def ended(self, reason: str, error: str | None) -> None:
        """After the last line."""
        self._tracking.end(reason)
        self._fire("on_run_end", reason=reason, error=error)
