"""Every task weighs the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mftkit

if TYPE_CHECKING:
    import torch


class Equal(mftkit.Balancer):
    """w_i = 1 (MFTCoder, arXiv 2311.02303: the losses of Eq. 1 to 3 unchanged)."""

    neutral: ClassVar[bool] = True

    def weights(self) -> torch.Tensor:
        """Return [tasks] float64."""
        import torch

        return torch.ones(len(self.tasks), dtype=torch.float64)
