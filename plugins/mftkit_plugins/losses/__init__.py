"""Losses over many tasks, each a function of additive per-task statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_losses(register: Callable[..., None]) -> None:
    """The losses of the paper, and plain cross-entropy to compare them with."""
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
        summary="samples that the model finds hard count more (Eq. 2)",
    )
    register(
        "task-focal",
        "mftkit_plugins.losses.task_focal:TaskFocal",
        summary="tasks that the model finds hard count more (Eq. 3)",
    )
    register(
        "mixed",
        "mftkit_plugins.losses.mixed:Mixed",
        summary="plain cross-entropy over the tokens of all tasks: the baseline without balancing",
    )
