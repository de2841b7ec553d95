"""A learning rate that falls in a straight line."""

from __future__ import annotations

import mftkit


class Linear(mftkit.Schedule):
    """Falls in a straight line to the minimum at the end."""

    def share(self, step: int, warmup: int, end: int) -> float:
        """Return the share of steps that are left."""
        return 1 - (step - warmup) / max(1, end - warmup)
