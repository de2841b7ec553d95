"""Mixers: shares of the tasks by size or as given, and shares that follow the validation losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_mixers(register: Register) -> None:
    """Register mixers with fixed shares, and one that changes them."""
    register(
        "temperature",
        "mftkit_plugins.mixers.temperature:Temperature",
        summary="shares by the tasks' sizes to the power of 1 / temperature",
    )
    register(
        "proportions",
        "mftkit_plugins.mixers.proportions:Proportions",
        summary="the shares that the spec gives",
    )
    register(
        "bandit",
        "mftkit_plugins.mixers.bandit:Bandit",
        summary="tasks whose validation loss falls fastest get larger shares, near the original ones (DynamixSFT)",
    )
