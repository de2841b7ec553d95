"""Splits and reorders the micro-batches of a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mftkit.interfaces.loss import Tokens
from mftkit.testing.assertions import require
from mftkit.training.loss_checks import part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


def splits(tokens: Tokens) -> Iterator[tuple[str, list[Tokens]]]:
    """Yield splits into micro-batches with a description of each: by sample, by task, and at random."""
    number = torch.arange(tokens.num_samples)
    yield "single samples", _pieces(tokens, number)
    yield "single tasks", _pieces(tokens, tokens.sample_task)
    generator = torch.Generator().manual_seed(0)
    for count in (2, 3, 5):
        chosen = torch.randint(count, number.shape, generator=generator)
        yield f"{count} random parts", _pieces(tokens, chosen)


def reordered(tokens: Tokens, seed: int = 0) -> Tokens:
    """Return the same samples, and so their tokens, in another order."""
    order = torch.randperm(tokens.num_samples, generator=torch.Generator().manual_seed(seed))
    place = torch.argsort(order)[tokens.sample]
    moved = torch.argsort(place, stable=True)
    return Tokens(
        logprobs=tokens.logprobs[moved],
        task=tokens.task[moved],
        sample=place[moved],
        sample_task=tokens.sample_task[order],
        num_tasks=tokens.num_tasks,
        num_samples=tokens.num_samples,
        sample_weight=tokens.sample_weight[order] if tokens.weighted else None,
    )


def only_tasks(tokens: Tokens, tasks: Sequence[int]) -> Tokens:
    """Return only the samples of these tasks."""
    return part(tokens, torch.isin(tokens.sample_task, torch.tensor(list(tasks))))


def number_of_statistics(found: Tensor) -> int:
    """Return k of statistics [tasks, k]. Raises ConformanceError if they have another shape."""
    fine = found.ndim == 2 and found.shape[1] > 0
    require(fine, f"statistics must have shape [tasks, k], but have {tuple(found.shape)}")
    return int(found.shape[1])


def _pieces(tokens: Tokens, label: Tensor) -> list[Tokens]:
    """Return one micro-batch for each value of ``label`` [samples]."""
    return [part(tokens, label == value) for value in sorted(set(label.tolist()))]
