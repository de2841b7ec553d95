"""The optimizer, and what to report about its learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mftkit.training.schedule import warmup_steps

if TYPE_CHECKING:
    from torch import nn

    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import TrainingSpec


def warn_schedule(training: TrainingSpec, total: int, reporter: Reporter) -> None:
    """Report settings of the learning rate that do not have the effect that one would expect."""
    if warmup_steps(training.warmup, total) >= total > 1:
        reporter.warn(
            f"training.warmup: {training.warmup:g} lasts to the end of the run ({total} steps), so the learning rate "
            "never falls"
        )
    if training.scheduler == "constant" and training.min_learning_rate:
        reporter.note('training.min_learning_rate has no effect with scheduler "constant"')


def make_optimizer(model: nn.Module, training: TrainingSpec) -> torch.optim.AdamW:
    """AdamW over the trained parameters; vectors (norms, biases) get no weight decay.

    It is the fused form: one kernel for all parameters, and the only form that can skip an update by a flag on the
    device (``found_inf``) without making the host wait for it.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": training.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=training.peak_learning_rate, fused=True)
