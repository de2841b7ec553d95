"""Sampling whose choices do not depend on the batch: each answer has a random generator for itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


_LEAST = 1e-20
"""So that no logarithm is taken of 0."""


class Sampling(NamedTuple):
    """How answers are generated."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0: the likeliest token."""
    top_p: float = 1.0
    seed: int = 0


class GumbelSampling(LogitsProcessor):
    """Adds Gumbel noise to the log-probabilities, so that the largest one is a sample (Gumbel-max).

    The noise of an answer comes from its own generator on the CPU: the same answer is drawn whatever else is in the
    batch, and the random state of training is not touched.
    """

    def __init__(self, sampling: Sampling, keys: Sequence[str]) -> None:
        """``keys`` name the answers of the batch, such as "row 3, sample 0"."""
        self._sampling = sampling
        self._generators = [_generator(sampling.seed, key) for key in keys]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Scores [answers, vocabulary] plus noise; tokens outside of ``top_p`` get minus infinity."""
        logprobs = torch.log_softmax(scores.float() / self._sampling.temperature, -1)
        uniform = torch.stack([torch.rand(scores.shape[-1], generator=each) for each in self._generators])
        exponential = -torch.log(uniform.clamp_min(_LEAST))
        noise = -torch.log(exponential.clamp_min(_LEAST)).to(scores.device)
        return _nucleus(logprobs, self._sampling.top_p) + noise


def _nucleus(logprobs: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens whose probabilities add up to ``top_p``; the likeliest one is always kept."""
    if top_p >= 1:
        return logprobs
    ordered, order = logprobs.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= top_p)
    return logprobs.masked_fill(dropped, float("-inf"))


def _generator(seed: int, key: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))
