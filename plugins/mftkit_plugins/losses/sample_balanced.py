"""Every sample of a task has the same weight, whatever its length, and so has every task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.losses.sums import sums_of_means, weighted_tokens

if TYPE_CHECKING:
    from torch import Tensor


class SampleBalanced(mftkit.Loss):
    """(1/N) sum_i (1/M_i) sum_j -w_ij Q_ij, Q_ij the mean of lp over sample j's tokens, in nats.

    Weighting by sample count (MFTCoder, arXiv 2311.02303); w_ij is the row's weight, 1 in the paper. Statistics
    [tasks, 1]: the sum of -w_ij Q_ij over a task's samples.
    """

    linear = True
    linear_in_logprobs = True
    reads_sample_weights = True

    def statistics(self, tokens: mftkit.Tokens) -> Tensor:
        """Return [tasks, 1]."""
        return sums_of_means(tokens, weighted_tokens(tokens, -tokens.logprobs))

    def task_losses(self, totals: mftkit.Totals) -> Tensor:
        """Return [tasks], nats per token."""
        return totals.statistics[:, 0] / totals.samples
