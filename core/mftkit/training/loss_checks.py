"""Checks of what a loss promises, on random numbers, before a run relies on it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mftkit.interfaces.loss import Tokens, Totals
from mftkit.plugins.ownership import plugin_suffix
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from mftkit.interfaces.loss import Loss

_SAMPLES_OF_A_TASK = 4


def check_loss(loss: Loss, num_tasks: int, seed: int = 0) -> None:
    """Check a loss's promises, in float64 on the CPU; no global random state is read or changed.

    Statistics of shape [tasks, k] must add over micro-batches, there must be one task loss per task, and shares must
    sum to 1 and depend on counts alone. ``linear``, ``linear_in_logprobs``, ``reads_sample_weights`` and ``pooled`` are
    checked if the loss promises them.

    Raises MftError, which names the loss and the promise that it breaks.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = random_tokens(num_tasks, generator)
    _check_shapes(loss, tokens)
    _check_additive(loss, tokens)
    _check_shares(loss, tokens, generator)
    if loss.linear_in_logprobs:
        _check_linear_in_logprobs(loss, tokens, generator)
    if loss.linear:
        _check_linear(loss, tokens, generator)
    if loss.reads_sample_weights:
        for kept, fault in row_weights_kept(loss, tokens, generator):
            _require(
                loss, kept, f"reads_sample_weights is True, but {fault}. Set reads_sample_weights = False"
            )
    if loss.pooled:
        _check_pooled(loss, tokens)


def random_tokens(num_tasks: int, generator: torch.Generator | None = None) -> Tokens:
    """Tokens of four samples per task, one to five tokens each, with log-probabilities between -4 and -0.01."""
    generator = generator or torch.Generator().manual_seed(0)
    sample_task = torch.arange(num_tasks).repeat(_SAMPLES_OF_A_TASK)
    lengths = torch.randint(1, 6, sample_task.shape, generator=generator)
    sample = torch.arange(len(sample_task)).repeat_interleave(lengths)
    return Tokens(
        logprobs=_random_logprobs(len(sample), generator),
        task=sample_task[sample],
        sample=sample,
        sample_task=sample_task,
        num_tasks=num_tasks,
        num_samples=len(sample_task),
    )


def check_small_counts(loss: Loss, tokens: Sequence[float], samples: Sequence[float]) -> None:
    """Raise MftError for a loss that treats counts below 1 as 1, if a task's mean count per step is that small.

    ``tokens`` and ``samples`` [tasks] are these mean counts.
    """
    small = [i for i, pair in enumerate(zip(tokens, samples, strict=True)) if 0 < min(pair) < 1]
    if not small:
        return
    generator = torch.Generator().manual_seed(0)
    statistics = loss.statistics(random_tokens(len(tokens), generator))
    counts = torch.tensor([tokens, samples], dtype=torch.float64)

    def losses(factor: float) -> Tensor:
        return _task_losses(loss, statistics, counts[0] * factor, counts[1] * factor)[small]

    # Doubling a count changes a mean by the same factor whatever the count is, unless it is clamped there.
    lifted = 1.0 / float(counts[:, small].min())
    if not equal(losses(1.0) / losses(2.0), losses(lifted) / losses(2.0 * lifted)):
        raise MftError(
            f'training.task_mean: "dataset" gives {", ".join(loss.tasks[i].name for i in small)} less than '
            f"one sample or token per step, and {type(loss).__name__} treats counts below 1 as 1. Raise "
            'training.batch_size, or set "present" or "all".'
        )


def _check_shapes(loss: Loss, tokens: Tokens) -> None:
    found = loss.statistics(replace(tokens, logprobs=tokens.logprobs.clone().requires_grad_()))
    _require(
        loss,
        isinstance(found, torch.Tensor),
        f"statistics must be a tensor of shape [tasks, k], not {type(found).__name__}",
    )
    _require(
        loss,
        found.ndim == 2 and len(found) == tokens.num_tasks and found.shape[1] > 0,
        f"statistics must be of shape [tasks, k], not {tuple(found.shape)} with {tokens.num_tasks} tasks",
    )
    _require(loss, found.requires_grad, "statistics must be differentiable, but have no gradient")
    counts = counts_of(tokens)
    losses = _task_losses(loss, found.detach().double().requires_grad_(), *counts)
    _require(
        loss,
        isinstance(losses, torch.Tensor),
        f"task_losses must be a tensor of shape [tasks], not {type(losses).__name__}",
    )
    _require(
        loss,
        losses.shape == (tokens.num_tasks,),
        f"task_losses must be of shape [tasks], not {tuple(losses.shape)} with {tokens.num_tasks} tasks",
    )
    _require(loss, losses.requires_grad, "task_losses must be differentiable, but have no gradient")
    _require(
        loss, bool(torch.isfinite(losses).all()), f"task_losses must be finite, but are {losses.tolist()}"
    )


def _check_additive(loss: Loss, tokens: Tokens) -> None:
    """Checked on a split that has the last task on one side only, if there are several."""
    first = torch.arange(tokens.num_samples) < tokens.num_samples // 2
    if tokens.num_tasks > 1:
        first &= tokens.sample_task != tokens.num_tasks - 1
    parts = loss.statistics(part(tokens, first)) + loss.statistics(part(tokens, ~first))
    _require(
        loss,
        equal(parts, loss.statistics(tokens)),
        "statistics must add over micro-batches, but those of two halves do not sum to those of the whole",
    )


def _check_shares(loss: Loss, tokens: Tokens, generator: torch.Generator) -> None:
    """Checked with all tasks present, and with an absent one that the mean over tasks counts or does not."""
    statistics = loss.statistics(tokens)
    counts = torch.stack(counts_of(tokens))
    everyone = torch.ones(tokens.num_tasks, dtype=torch.bool)
    cases = [(counts, everyone)]
    if tokens.num_tasks > 1:
        without = torch.where(torch.arange(tokens.num_tasks) == 0, 0.0, counts)
        cases += [(without, everyone), (without, without[0] > 0)]
    for (token_counts, sample_counts), in_mean in cases:
        totals = Totals(statistics, token_counts, sample_counts, in_mean)
        shares = torch.where(in_mean, loss.task_shares(totals), 0.0)
        one = shares.new_ones(())
        _require(
            loss,
            equal(shares.sum(), one),
            f"task_shares must be finite and sum to 1, but are {shares.tolist()}",
        )
        other = replace(totals, statistics=_normal(statistics, generator))
        again = torch.where(in_mean, loss.task_shares(other), 0.0)
        _require(
            loss,
            equal(shares, again),
            "task_shares must depend on counts only, but other statistics change them",
        )


def _check_linear_in_logprobs(loss: Loss, tokens: Tokens, generator: torch.Generator) -> None:
    other = _random_logprobs(len(tokens.logprobs), generator)

    def statistics(logprobs: Tensor) -> Tensor:
        return loss.statistics(replace(tokens, logprobs=logprobs))

    for scale in (1.0, 20.0):  # a function may be linear for likely tokens only
        _require(
            loss,
            is_linear(statistics, scale * tokens.logprobs, other),
            "linear_in_logprobs is True, but its statistics are not linear in logprobs. Set linear_in_logprobs = False",
        )


def _check_linear(loss: Loss, tokens: Tokens, generator: torch.Generator) -> None:
    statistics = loss.statistics(tokens)
    counts = counts_of(tokens)
    for scale in (1.0, 1e-3, 1e5):  # a function may look linear near 0 only
        _require(
            loss,
            is_linear(
                lambda s: _task_losses(loss, s, *counts),
                _normal(statistics, generator),
                scale * _normal(statistics, generator),
            ),
            "linear is True, but its task_losses are not linear in the statistics. Set linear = False",
        )


def row_weights_kept(loss: Loss, tokens: Tokens, generator: torch.Generator) -> Iterator[tuple[bool, str]]:
    """For each part of the promise ``reads_sample_weights``, whether it is kept, and the fault if it is not."""
    drawn = torch.rand(tokens.num_samples, dtype=torch.float64, generator=generator)
    plain = loss.statistics(tokens)
    ones = loss.statistics(replace(tokens, sample_weight=torch.ones_like(drawn)))
    yield equal(ones, plain), "its statistics with weights that are all 1 are not those without weights"
    weighted = replace(tokens, sample_weight=3 * drawn)
    found = loss.statistics(weighted)
    yield not equal(found, plain), "its statistics do not change with tokens.weight"
    first = torch.arange(tokens.num_samples) < tokens.num_samples // 3
    parts = loss.statistics(part(weighted, first)) + loss.statistics(part(weighted, ~first))
    yield equal(parts, found), "its statistics of weighted rows do not add over micro-batches"


def _check_pooled(loss: Loss, tokens: Tokens) -> None:
    """Checked with all tasks present, and with the first absent."""
    for present in (tokens.sample_task >= 0, tokens.sample_task > 0):
        if not present.any():
            continue
        here = part(tokens, present)
        counts = torch.stack(counts_of(here))
        totals = Totals(loss.statistics(here), counts[0], counts[1], counts[0] > 0)
        shares = torch.where(totals.tasks_in_mean, loss.task_shares(totals), 0.0)
        losses = torch.where(totals.tasks_in_mean, loss.task_losses(totals), 0.0)
        _require(
            loss,
            equal((shares * losses).sum(), -here.logprobs.mean()),
            "pooled is True, but the objective is not the mean over all tokens of all tasks. Set pooled = False",
        )


def is_linear(function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> bool:
    """Return True if a function of tensors is linear, judged by two arguments."""
    whole = function(0.7 * x + 1.6 * y)
    return equal(whole, 0.7 * function(x) + 1.6 * function(y))


def _require(loss: Loss, kept: bool, fault: str) -> None:
    if not kept:
        kind = type(loss)
        raise MftError(
            f"loss: {kind.__name__} ({kind.__module__}) violates the interface of a loss: {fault}. "
            f"Fix the plugin{plugin_suffix(loss)}, or choose another loss."
        )


def equal(x: Tensor, y: Tensor) -> bool:
    """Return True if two tensors are equal up to the rounding of float32, in which a plugin may sum.

    A tensor that is not finite equals no other.
    """
    x, y = x.detach().double(), y.detach().double()
    largest = float(y.abs().max())
    return math.isfinite(largest) and torch.allclose(x, y, rtol=1e-5, atol=1e-6 * largest)


def _task_losses(loss: Loss, statistics: Tensor, tokens: Tensor, samples: Tensor) -> Tensor:
    return loss.task_losses(Totals(statistics, tokens, samples, torch.ones_like(tokens, dtype=torch.bool)))


def counts_of(tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Each task's numbers of tokens and of samples, [tasks] float64."""
    return (
        torch.bincount(tokens.task, minlength=tokens.num_tasks).double(),
        torch.bincount(tokens.sample_task, minlength=tokens.num_tasks).double(),
    )


def part(tokens: Tokens, samples: Tensor) -> Tokens:
    """The tokens of the samples that ``samples`` [S] bool selects, as a micro-batch."""
    kept = samples[tokens.sample]
    number = samples.cumsum(0) - 1
    return Tokens(
        logprobs=tokens.logprobs[kept],
        task=tokens.task[kept],
        sample=number[tokens.sample[kept]],
        sample_task=tokens.sample_task[samples],
        num_tasks=tokens.num_tasks,
        num_samples=int(samples.sum()),
        sample_weight=tokens.sample_weight[samples] if tokens.weighted else None,
    )


def _random_logprobs(size: int, generator: torch.Generator) -> Tensor:
    return -0.01 - 3.99 * torch.rand(size, dtype=torch.float64, generator=generator)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, dtype=torch.float64, generator=generator)
