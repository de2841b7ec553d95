"""Callbacks: they end a run early."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_callbacks(register: Register) -> None:
    """Register callbacks."""
    register(
        "stop-at-time",
        "mftkit_plugins.callbacks.stop_at_time:StopAtTime",
        summary="ends the run, with its result, after a number of hours",
    )
    register(
        "stop-at-loss",
        "mftkit_plugins.callbacks.stop_at_loss:StopAtLoss",
        summary="ends the run, with its result, once a validation loss is low enough",
    )
