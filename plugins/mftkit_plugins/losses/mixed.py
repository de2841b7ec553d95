"""Plain cross-entropy over all tasks' tokens: the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_plugins.losses.token_balanced import TokenBalanced

if TYPE_CHECKING:
    from torch import Tensor

    import mftkit


class Mixed(TokenBalanced):
    """sum_ijk -w_ij lp_ijk / sum_i T_i, in nats: SFT-Mixed (MFTCoder, arXiv 2311.02303, section 4.1).

    The mean over each task's tokens, with task shares by tokens instead of equal ones: large tasks dominate.
    """

    pooled = True

    def task_shares(self, totals: mftkit.Totals) -> Tensor:
        """Return [tasks]: T_i / sum_i T_i."""
        return totals.tokens / totals.tokens.sum()
