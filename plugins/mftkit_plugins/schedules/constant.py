"""A learning rate that stays."""

from __future__ import annotations

import mftkit


class Constant(mftkit.Schedule):
    """Stays at the peak after the warmup."""

    def share(self, step: int, warmup: int, end: int) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0
