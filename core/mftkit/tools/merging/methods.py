"""The arithmetic of merging: functions of task vectors, which are differences of trained weights from their start.

With n models that started from weights S, task vectors t_1 ... t_n and a weight w:

- arithmetic: S + w (t_1 + ... + t_n) (task arithmetic, arXiv 2212.04089); w = 1 / n is the average of the models.
- ties: S + w m (arXiv 2306.01708, algorithm 1): of each t_i the largest magnitudes stay and the others become 0; the
  sign of a coordinate is that of the sum; m is the mean of those values that have this sign.
- dare: S + w (d_1 + ... + d_n) (arXiv 2311.03099): each coordinate of t_i is 0 with probability 1 - density, and is
  divided by density otherwise, so that its expectation stays.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in its own dtype if that is wider."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def scaled_sum(vectors: Sequence[Tensor], weight: float) -> Tensor:
    """The sum of task vectors of one shape, times ``weight``."""
    total = vectors[0].clone()
    for vector in vectors[1:]:
        total += vector
    return total.mul_(weight)


def trimmed(vector: Tensor, threshold: float) -> Tensor:
    """The vector with 0 in place of values whose magnitude is below ``threshold``."""
    return torch.where(vector.float().abs() >= threshold, vector, torch.zeros_like(vector))


def disjoint_mean(vectors: Sequence[Tensor]) -> Tensor:
    """For each coordinate the mean of the values that have the sign of the coordinate's sum; 0 where the sum is 0."""
    sign = torch.sign(scaled_sum(vectors, 1.0))
    total, count = torch.zeros_like(sign), torch.zeros_like(sign)
    for vector in vectors:
        agrees = (torch.sign(vector) == sign) & (sign != 0)
        total += torch.where(agrees, vector, torch.zeros_like(vector))
        count += agrees
    return total / count.clamp(min=1)


def dropped(vector: Tensor, density: float, seed: int, key: str) -> Tensor:
    """Each value is divided by ``density`` with this probability, and 0 otherwise.

    What is dropped depends on the seed, ``key`` and the shape alone, not on what was dropped before.
    """
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    kept = torch.rand(vector.shape, generator=generator) < density
    return torch.where(kept, vector / density, torch.zeros_like(vector))
