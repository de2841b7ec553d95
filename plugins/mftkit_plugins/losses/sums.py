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


def weighed_tokens(tokens: Tokens, values: Tensor) -> Tensor:
    """``values`` [V, ...] times each token's row weight; themselves where all are 1."""
    return values * _beside(tokens.weight, values) if tokens.weighted else values


def weighed_samples(tokens: Tokens, values: Tensor) -> Tensor:
    """``values`` [S, ...] times each sample's row weight; themselves where all are 1."""
    return values * _beside(tokens.sample_weight, values) if tokens.weighted else values


def _beside(weights: Tensor, values: Tensor) -> Tensor:
    return weights.to(values).reshape(-1, *[1] * (values.ndim - 1))


def sample_means(tokens: Tokens, values: Tensor) -> Tensor:
    """Mean [S, ...] of ``values`` [V, ...] over each sample's counting tokens."""
    lengths = sums_by(tokens.sample, torch.ones_like(tokens.logprobs), tokens.num_samples)
    sums = sums_by(tokens.sample, values, tokens.num_samples)
    return sums / lengths.reshape(-1, *[1] * (sums.ndim - 1))
