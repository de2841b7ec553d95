"""The learning rate as a function of the step, and the optimizer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from mftkit.spec import TrainingSpec


def warmup_steps(warmup: float, total: int) -> int:
    """Steps of warm-up: under 1 a share of all steps, else steps.

    >>> warmup_steps(0.05, 200), warmup_steps(30, 200)
    (10, 30)
    """
    return math.ceil(round(warmup * total, 6)) if warmup < 1 else int(warmup)


def learning_rate(step: int, total: int, training: TrainingSpec) -> float:
    """Of step ``step`` (from 1): linear warm-up to the peak, then down to the least at step ``total``."""
    peak, least = training.learning_rate, training.min_learning_rate
    warm = warmup_steps(training.warmup, total)
    if step <= warm:
        return peak * step / warm
    if training.scheduler == "constant":
        return peak
    done = (step - warm) / max(1, total - warm)
    left = 1 - done if training.scheduler == "linear" else (1 + math.cos(math.pi * done)) / 2
    return least + (peak - least) * left


def make_optimizer(model: nn.Module, training: TrainingSpec) -> torch.optim.AdamW:
    """AdamW over what is trained; vectors (norms, biases) are not decayed.

    Fused: one kernel for all parameters, and the only form that can leave out an update by a flag on
    the device, without the host waiting for it.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": training.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=training.learning_rate, fused=True)
