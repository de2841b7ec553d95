"""The hooks that a plugin may implement: registering components, and listening to a run.

A plugin marks its functions with ``@mftkit.hookimpl``, and may leave out arguments that it does not need::

    @mftkit.hookimpl
    def on_validation_end(run: mftkit.RunInfo, step: int, metrics: dict[str, Any]) -> None: ...

Events are fired in the process that writes the run's files, in the thread that trains: slow callbacks delay the run. A
callback that raises is reported once, as a warning, and the run continues. ``run.stop(reason)`` ends the run as
finished once the current step is done. There is one ``register_...`` hook for
each kind, generated from ``mftkit.plugins.kinds``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins.kinds import KINDS
from mftkit_registry import hookspec, registration_hook

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.run_info import RunInfo


globals().update({kind.hook: registration_hook(kind, __name__) for kind in KINDS})


@hookspec
def on_run_start(run: RunInfo, step: int) -> None:
    """Before the first step after ``step``: 0 for a new run, else the step from which it resumes."""


@hookspec
def on_step_end(run: RunInfo, step: int, metrics: JsonObject) -> None:
    """After each optimizer step; ``metrics`` is the "train" line if the step logs, else empty."""


@hookspec
def on_validation_end(run: RunInfo, step: int, metrics: JsonObject) -> None:
    """After a validation; ``metrics`` is the "valid" line of metrics.jsonl."""


@hookspec
def on_checkpoint(run: RunInfo, step: int, path: Path) -> None:
    """After a checkpoint is complete, at ``path``."""


@hookspec
def on_run_end(run: RunInfo, reason: str, error: str | None) -> None:
    """At the end; ``reason`` as in metrics.jsonl: "finished", ... or "failed" (then with ``error``)."""
