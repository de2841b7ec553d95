"""Projects gradients to a few hundred numbers, one parameter at a time: a count sketch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

BLOCK = 1 << 24
"""Numbers of a gradient that are projected at a time."""
KEPT = 1 << 24
"""Parameters up to which the buckets are kept in memory (4 bytes each); those of a larger model are drawn each time."""


class CountSketch:
    """A random projection of gradients [P] to [d] numbers that keeps inner products on average.

    Each number of a gradient is added, with a random sign, to one random bucket of d (Charikar, Chen and Farach-Colton,
    "Finding Frequent Items in Data Streams", 2002; Weinberger et al., "Feature Hashing for Large Scale Multitask
    Learning", 2009, whose Lemma 2 gives the mean and variance: the inner product of two projections has the mean of the
    gradients' own, and a variance of at most (|a|^2 |b|^2 + (a.b)^2) / d). It takes P additions, where a dense random
    matrix takes P d, and no matrix is stored: a seed gives the buckets of a parameter.
    """

    def __init__(self, sizes: Sequence[int], dimension: int, seed: int, device: torch.device) -> None:
        """``sizes`` are the numbers in each parameter."""
        self._sizes = list(sizes)
        self.dimension = dimension
        self._seed = seed
        # Bucket k, and bucket k + d for the numbers whose sign is negative.
        self._sums = torch.zeros(2 * dimension, device=device)
        self._kept: list[list[Tensor]] | None = None
        if sum(self._sizes) <= KEPT:
            self._kept = [list(self._draw(number)) for number in range(len(self._sizes))]

    def add(self, number: int, gradient: Tensor) -> None:
        """Add the gradient of parameter ``number``."""
        blocks = self._draw(number) if self._kept is None else self._kept[number]
        for block, part in zip(blocks, torch.split(gradient.flatten(), BLOCK), strict=True):
            self._sums.index_add_(0, block, part.float())

    def take(self) -> Tensor:
        """The projection [d] float64, on the CPU, of what was added since the last call."""
        positive, negative = self._sums.double().cpu().view(2, -1)
        self._sums.zero_()
        difference: Tensor = positive - negative
        return difference

    def _draw(self, number: int) -> Iterator[Tensor]:
        """The bucket of each number of a parameter, in blocks."""
        state = np.random.SeedSequence([self._seed, number]).generate_state(1, np.uint64)
        device = self._sums.device
        random = torch.Generator(device).manual_seed(int(state[0]))
        for first in range(0, self._sizes[number], BLOCK):
            size = min(BLOCK, self._sizes[number] - first)
            yield torch.randint(
                2 * self.dimension, (size,), generator=random, device=device, dtype=torch.int32
            )
