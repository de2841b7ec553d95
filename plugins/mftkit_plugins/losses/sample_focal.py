"""Samples that are hard for the model weigh more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_plugins.losses.focal import FocalLoss
from mftkit_plugins.losses.sums import sample_means, sums_by, weighted_samples

if TYPE_CHECKING:
    from torch import Tensor

    import mftkit


class SampleFocal(FocalLoss):
    """sum_ij -w_ij alpha_i (1 - P_ij)^gamma Q_ij / sum_i M_i (MFTCoder, arXiv 2311.02303, Eq. 2).

    P_ij and Q_ij are the means of p and of lp over sample j's tokens; w_ij is the row's weight, 1 in the paper.
    Statistics [tasks, 1]: the sum of -w_ij (1 - P_ij)^gamma Q_ij over a task's samples. All samples have the same
    weight, so the share of a task is the share of its samples.
    """

    linear = True
    reads_sample_weights = True

    def statistics(self, tokens: mftkit.Tokens) -> Tensor:
        """Return [tasks, 1]."""
        import torch

        # expm1: 1 - p keeps its digits for p near 1.
        both = torch.stack([-tokens.logprobs, -torch.expm1(tokens.logprobs)], dim=1)
        loss, missing = sample_means(tokens, both).unbind(1)
        focused = weighted_samples(tokens, self.focus(missing) * loss)
        return sums_by(tokens.sample_task, focused.unsqueeze(1), tokens.num_tasks)

    def task_losses(self, totals: mftkit.Totals) -> Tensor:
        """Return [tasks]."""
        return self.alpha(totals.statistics) * totals.statistics[:, 0] / totals.samples

    def task_shares(self, totals: mftkit.Totals) -> Tensor:
        """Return [tasks]: M_i / sum_i M_i."""
        return totals.samples / totals.samples.sum()
