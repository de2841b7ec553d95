"""Posts what happens in a run to the URL in MFT_WEBHOOK_URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import mftkit
from mft_webhook.sender import Sender

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit import RunInfo

VARIABLE = "MFT_WEBHOOK_URL"
_senders: dict[str, Sender] = {}


@mftkit.hookimpl
def on_run_start(run: RunInfo) -> None:
    """Post that the run starts, or resumes from a checkpoint."""
    _post(run, {"event": "start", "tasks": list(run.tasks)})


@mftkit.hookimpl
def on_step_end(run: RunInfo, step: int, metrics: dict[str, Any]) -> None:
    """Post the metrics of each step that logs; those of the others are empty."""
    if metrics:
        _post(run, {"event": "train", "step": step, "metrics": metrics})


@mftkit.hookimpl
def on_checkpoint(run: RunInfo, step: int, path: Path) -> None:
    """Post where each checkpoint is."""
    _post(run, {"event": "checkpoint", "step": step, "path": str(path)})


@mftkit.hookimpl
def on_validation_end(run: RunInfo, step: int, metrics: dict[str, Any]) -> None:
    """Post the metrics of each validation."""
    _post(run, {"event": "validation", "step": step, "metrics": metrics})


@mftkit.hookimpl
def on_run_end(run: RunInfo, reason: str, error: str | None) -> None:
    """Post the end of the run. Raises if posts failed: mftkit reports it as a warning, and the run is unaffected."""
    _post(run, {"event": "end", "reason": reason, "error": error})
    for url in list(_senders):
        _senders.pop(url).finish()


def _post(run: RunInfo, facts: dict[str, Any]) -> None:
    url = os.environ.get(VARIABLE, "").strip()
    if url:
        sender = _senders.setdefault(url, Sender(url))
        sender.post({"event": facts["event"], "run": run.name, "output": str(run.output), **facts})
