"""AdamW (arXiv 1711.05101), in torch's fused form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.optimizers.adam_options import AdamOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class AdamW(mftkit.Optimizer):
    """Moving averages of gradients and of their squares, each in the dtype of the trained weights.

    The fused form is one kernel for all parameters, and leaves out an update by a flag on the device, for which the
    host need not wait.
    """

    Options = AdamOptions
    options: AdamOptions
    elementwise_state = ("exp_avg", "exp_avg_sq")

    def build(self, groups: Sequence[mftkit.ParameterGroup]) -> torch.optim.Optimizer:
        """Return torch's AdamW with one of its groups for each."""
        import torch

        return torch.optim.AdamW(
            [group.as_torch() for group in groups],
            lr=groups[0].learning_rate,
            betas=self.options.betas,
            eps=self.options.eps,
            fused=True,
        )
