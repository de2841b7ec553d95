"""Balancers: fixed weights, and weights that follow the losses in the course of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_balancers(register: Callable[..., None]) -> None:
    """Weights that need no history of losses, and those that do."""
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
    register(
        "coba",
        "mftkit_plugins.balancers.coba:Coba",
        summary="tasks that converge slowly weigh more, those that diverge less (CoBa)",
    )
    register(
        "famo",
        "mftkit_plugins.balancers.famo:Famo",
        summary="tasks whose loss falls slowly weigh more: equal rates for all (FAMO, Eq. 4)",
    )
    register(
        "uncertainty",
        "mftkit_plugins.balancers.uncertainty:Uncertainty",
        summary="learned variances: a task weighs by one over its loss",
    )
    register(
        "dwa",
        "mftkit_plugins.balancers.dwa:Dwa",
        summary="tasks whose mean loss fell least from window to window weigh more",
    )
    register(
        "dro",
        "mftkit_plugins.balancers.dro:Dro",
        summary="the tasks of the largest loss, or excess over a reference, weigh more (group DRO)",
    )
