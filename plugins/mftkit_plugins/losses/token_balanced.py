"""Every token of a task has the same weight, and so has every task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.losses.sums import sums_by, weighted_tokens

if TYPE_CHECKING:
    from torch import Tensor


class TokenBalanced(mftkit.Loss):
    """(1/N) sum_i (1/T_i) sum_jk -w_ij lp_ijk, in nats (MFTCoder, arXiv 2311.02303, Eq. 1).

    w_ij is the row's weight, 1 in the paper. Statistics [tasks, 1]: the sum of -w lp over a task's tokens.
    """

    linear = True
    linear_in_logprobs = True
    reads_sample_weights = True

    def statistics(self, tokens: mftkit.Tokens) -> Tensor:
        """Return [tasks, 1]."""
        losses = weighted_tokens(tokens, -tokens.logprobs)
        return sums_by(tokens.task, losses.unsqueeze(1), tokens.num_tasks)

    def task_losses(self, totals: mftkit.Totals) -> Tensor:
        """Return [tasks], nats per token."""
        return totals.statistics[:, 0] / totals.tokens
