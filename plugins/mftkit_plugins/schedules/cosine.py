"""A learning rate that falls along half a cosine (arXiv 1608.03983, without restarts)."""

from __future__ import annotations

import math

import mftkit


class Cosine(mftkit.Schedule):
    """Falls along half a cosine to the minimum at the end."""

    def share(self, step: int, warmup: int, end: int) -> float:
        """Return the cosine from 0 to pi, between 1 and 0."""
        done = (step - warmup) / max(1, end - warmup)
        return (1 + math.cos(math.pi * done)) / 2
