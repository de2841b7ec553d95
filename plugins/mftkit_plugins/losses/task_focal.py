"""Tasks that are hard for the model weigh more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_plugins.losses.focal import FocalLoss
from mftkit_plugins.losses.sums import sums_of_means, weighted_tokens

if TYPE_CHECKING:
    from torch import Tensor

    import mftkit


class TaskFocal(FocalLoss):
    """(1/N) sum_i -alpha_i (1 - P_i)^gamma Q_i (MFTCoder, arXiv 2311.02303, Eq. 3).

    P_i and Q_i are the means over task i's samples of P_ij and w_ij Q_ij; P_ij and Q_ij are the means of p and of
    lp over sample j's tokens, w_ij is the row's weight, 1 in the paper. Statistics [tasks, 2]: the sums of
    -w_ij Q_ij and of 1 - P_ij over a task's samples. How hard a task is does not depend on weights: a data
    row of weight 0 still contributes to P_i.
    """

    reads_sample_weights = True

    def statistics(self, tokens: mftkit.Tokens) -> Tensor:
        """Return [tasks, 2]."""
        import torch

        # expm1: 1 - p keeps its digits for p near 1.
        missing = -torch.expm1(tokens.logprobs)
        return sums_of_means(tokens, weighted_tokens(tokens, -tokens.logprobs), missing)

    def task_losses(self, totals: mftkit.Totals) -> Tensor:
        """Return [tasks]."""
        loss, missing = (totals.statistics / totals.samples.unsqueeze(1)).unbind(1)
        return self.alpha(loss) * self.focus(missing) * loss
