"""Sums and means by task and sample: one pass over the tokens, whatever the number of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit import Tokens


def sums_by(index: Tensor, values: Tensor, size: int) -> Tensor:
    """Sums [size, ...] of ``values`` [n, ...] by ``index`` [n], in float64 where the device has it."""
    exact = values if values.device.type == "mps" else values.double()
    return exact.new_zeros(size, *values.shape[1:]).index_add(0, index, exact)


def sample_means(tokens: Tokens, values: Tensor) -> Tensor:
    """Mean [S, ...] of ``values`` [V, ...] over each sample's counting tokens."""
    lengths = sums_by(tokens.sample, torch.ones_like(tokens.logprobs), tokens.num_samples)
    sums = sums_by(tokens.sample, values, tokens.num_samples)
    return sums / lengths.reshape(-1, *[1] * (sums.ndim - 1))
