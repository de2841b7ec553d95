"""Balancers: fixed weights, and weights that follow the losses during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_balancers(register: Register) -> None:
    """Register balancers without a history of losses, and balancers with one."""
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
        summary="tasks that converge slowly weigh more, tasks that diverge weigh less (CoBa)",
    )
    register(
        "famo",
        "mftkit_plugins.balancers.famo:Famo",
        summary="tasks whose loss falls slowly weigh more, so that all fall at equal rates (FAMO, Eq. 4)",
    )
    register(
        "uncertainty",
        "mftkit_plugins.balancers.uncertainty:Uncertainty",
        summary="learned variances: at convergence, a task's weight is proportional to one over its loss",
    )
    register(
        "dwa",
        "mftkit_plugins.balancers.dwa:Dwa",
        summary="tasks whose mean loss fell least between two windows of steps weigh more",
    )
    register(
        "dro",
        "mftkit_plugins.balancers.dro:Dro",
        summary="tasks with the largest loss, or the largest excess over a reference, weigh more (group DRO)",
    )
