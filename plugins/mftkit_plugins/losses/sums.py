"""Sums and means by task and sample, in one pass over the tokens for any number of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit import Tokens


def sums_by(index: Tensor, values: Tensor, size: int) -> Tensor:
    """Return sums [size, ...] of ``values`` [n, ...] by ``index`` [n], in float64 if the device has it."""
    exact = values if values.device.type == "mps" else values.double()
    return exact.new_zeros(size, *values.shape[1:]).index_add(0, index, exact)


def weighted_tokens(tokens: Tokens, values: Tensor) -> Tensor:
    """Return ``values`` [V, ...] times each token's weight; unchanged if all weights are 1."""
    return values * _broadcast(tokens.weight, values) if tokens.weighted else values


def weighted_samples(tokens: Tokens, values: Tensor) -> Tensor:
    """Return ``values`` [S, ...] times each sample's weight; unchanged if all weights are 1."""
    return values * _broadcast(tokens.sample_weight, values) if tokens.weighted else values


def _broadcast(weights: Tensor, values: Tensor) -> Tensor:
    return weights.to(values).reshape(-1, *[1] * (values.ndim - 1))


def sample_lengths(tokens: Tokens) -> Tensor:
    """Return the number of loss tokens of each sample, [S]."""
    import torch

    return sums_by(tokens.sample, torch.ones_like(tokens.logprobs), tokens.num_samples)


def sample_means(tokens: Tokens, values: Tensor) -> Tensor:
    """Return means [S, ...] of ``values`` [V, ...] over each sample's loss tokens."""
    sums = sums_by(tokens.sample, values, tokens.num_samples)
    return sums / sample_lengths(tokens).reshape(-1, *[1] * (sums.ndim - 1))


def sums_of_means(tokens: Tokens, *values: Tensor) -> Tensor:
    """Return the sums [tasks, k] over each task's samples of their means, for k ``values`` [V]."""
    import torch

    # By token instead of by sample, and each of the values alone: fewer and faster steps, also back.
    lengths = sample_lengths(tokens).index_select(0, tokens.sample)
    return torch.stack([sums_by(tokens.task, each / lengths, tokens.num_tasks) for each in values], dim=1)
