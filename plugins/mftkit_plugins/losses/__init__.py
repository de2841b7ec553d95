"""Losses over several tasks, each a function of additive per-task statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_losses(register: Register) -> None:
    """Register the losses of the paper, and plain cross-entropy as their baseline."""
    register(
        "token-balanced",
        "mftkit_plugins.losses.token_balanced:TokenBalanced",
        summary="mean over each task's tokens, then over tasks (Eq. 1)",
        default=True,
    )
    register(
        "sample-balanced",
        "mftkit_plugins.losses.sample_balanced:SampleBalanced",
        summary="mean over each sample's tokens, over each task's samples, then over tasks",
    )
    register(
        "sample-focal",
        "mftkit_plugins.losses.sample_focal:SampleFocal",
        summary="samples that are hard for the model weigh more (Eq. 2)",
    )
    register(
        "task-focal",
        "mftkit_plugins.losses.task_focal:TaskFocal",
        summary="tasks that are hard for the model weigh more (Eq. 3)",
    )
    register(
        "mixed",
        "mftkit_plugins.losses.mixed:Mixed",
        summary="plain cross-entropy over the tokens of all tasks: the baseline without balancing",
    )
