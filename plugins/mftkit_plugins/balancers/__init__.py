"""Balancers: task weights that do not change in the course of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_balancers(register: Callable[..., None]) -> None:
    """Weights that need no history of losses."""
    register(
        "equal",
        "mftkit_plugins.balancers.equal:Equal",
        summary="every task weighs the same",
        default=True,
    )
    register(
        "fixed",
        "mftkit_plugins.balancers.fixed:Fixed",
        summary="the tasks' own weights, as the spec gives them",
    )
