"""Trackers: a run's numbers in common tools for watching runs, each through accelerate's class for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_trackers(register: Callable[..., None]) -> None:
    """Register the trackers; none of them imports its tool before a run starts."""
    register(
        "tensorboard",
        "mftkit_plugins.trackers.tensorboard:TensorBoard",
        summary="TensorBoard event files",
    )
    register(
        "wandb",
        "mftkit_plugins.trackers.wandb:WeightsAndBiases",
        summary="Weights & Biases, offline by default",
    )
    register(
        "mlflow",
        "mftkit_plugins.trackers.mlflow:MLflow",
        summary="MLflow, a local store or a server",
    )
