"""Checks of every loss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mftkit.interfaces.loss import Totals
from mftkit.testing.assertions import advise, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.micro_batches import number_of_statistics, only_tasks, reordered, splits
from mftkit.testing.randomness import assert_rng_untouched, seeded
from mftkit.training.loss_checks import counts_of, equal, is_linear, part, random_tokens, row_weights_kept
from mftkit.training.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit.interfaces.loss import Loss, Tokens

STEP = 1e-5
"""Step size of the finite differences, in nats; in float64 their error is about the square of it."""


class LossConformance(Conformance):
    """Checks of ``mftkit.Loss`` in float64 on random log-probabilities of three tasks."""

    def tokens(self, seed: int = 0) -> Tokens:
        """Return a micro-batch of four samples per task with one to five tokens each."""
        return random_tokens(len(self.tasks), torch.Generator().manual_seed(seed))

    def test_shapes(self) -> None:
        """Statistics are [tasks, k]; task losses and shares are [tasks], with 1, 3 and 200 tasks."""
        for count in (1, len(self.tasks), 200):
            loss, tokens = self.resized(count), random_tokens(count)
            if loss is None:
                continue
            found = loss.statistics(tokens)
            k = number_of_statistics(found)
            require(
                found.shape == (count, k), f"statistics have shape {tuple(found.shape)} with {count} tasks"
            )
            totals = totals_of(found, tokens)
            for name in ("task_losses", "task_shares"):
                shape = tuple(getattr(loss, name)(totals).shape)
                require(shape == (count,), f"{name} has shape {shape} with {count} tasks")
            one = loss.statistics(part(tokens, torch.arange(tokens.num_samples) == 0))
            require(
                one.shape == (count, k),
                f"statistics of one sample have shape {tuple(one.shape)}, not {(count, k)}",
            )

    def test_statistics_add_over_splits(self) -> None:
        """Statistics of micro-batches sum to those of the whole batch, however it is split."""
        loss, tokens = self.make(), self.tokens()
        whole = loss.statistics(tokens)
        for description, parts in splits(tokens):
            total = torch.stack([loss.statistics(piece).double() for piece in parts]).sum(0)
            require(
                equal(total, whole),
                f"statistics do not add over micro-batches: {description} sum to {total.tolist()}, but the whole "
                f"batch has {whole.tolist()}. Return sums, and divide by counts in task_losses",
            )

    def test_order_does_not_matter(self) -> None:
        """Statistics do not depend on the order of the samples."""
        loss, tokens = self.make(), self.tokens()
        require(
            equal(loss.statistics(reordered(tokens)), loss.statistics(tokens)),
            "statistics change with the order of the samples",
        )

    def test_gradients(self) -> None:
        """Gradients with respect to the log-probabilities equal finite differences, in float64."""
        loss, tokens = self.make(), self.tokens()
        logprobs = tokens.logprobs.clone().requires_grad_()
        value = objective(loss, replace(tokens, logprobs=logprobs))
        require(value.requires_grad, "the loss has no gradient: statistics or task_losses detach it")
        (slope,) = torch.autograd.grad(value, logprobs, allow_unused=True)
        require(slope is not None, "no gradient reaches tokens.logprobs")
        steps = torch.eye(len(logprobs), dtype=torch.float64) * STEP
        expected = torch.stack([_difference(loss, tokens, step) for step in steps]) / (2 * STEP)
        largest = max(float(expected.abs().max()), 1e-6)
        off = float((slope - expected).abs().max())
        require(
            off <= 1e-4 * largest,
            f"gradients differ from finite differences by {off:.3g} (the largest is {largest:.3g}): "
            "something is detached, rounded to float32, or not differentiable",
        )

    def test_promise_linear(self) -> None:
        """``linear`` is True if and only if task_losses are linear in the statistics."""
        loss, tokens = self.make(), self.tokens()
        statistics = loss.statistics(tokens).detach().double()
        generator = torch.Generator().manual_seed(1)

        def losses(s: Tensor) -> Tensor:
            found: Tensor = loss.task_losses(totals_of(s, tokens))
            return found

        def draw(scale: float) -> Tensor:
            return scale * torch.randn(statistics.shape, dtype=torch.float64, generator=generator)

        # Several scales: a function that is linear only near 0 must not pass.
        true = all(is_linear(losses, draw(1.0), draw(scale)) for scale in (1.0, 1e-3, 1e5))
        _promise("linear", loss.linear, true, "task_losses", "the statistics", "saves a forward pass")

    def test_promise_linear_in_logprobs(self) -> None:
        """``linear_in_logprobs`` is True if and only if statistics are linear in logprobs."""
        loss, tokens = self.make(), self.tokens()
        drawn = torch.Generator().manual_seed(1)
        other = -4 * torch.rand(len(tokens.logprobs), dtype=torch.float64, generator=drawn)

        def statistics(logprobs: Tensor) -> Tensor:
            found: Tensor = loss.statistics(replace(tokens, logprobs=logprobs))
            return found

        true = is_linear(statistics, tokens.logprobs, other)
        _promise(
            "linear_in_logprobs",
            loss.linear_in_logprobs,
            true,
            "statistics",
            "logprobs",
            "makes token weights known before the forward pass",
        )

    def test_promise_reads_sample_weights(self) -> None:
        """If ``reads_sample_weights`` is True, weights have an effect, weights of 1 have none, and sums still add."""
        loss = self.make()
        if loss.reads_sample_weights:
            for kept, difference in row_weights_kept(loss, self.tokens(), torch.Generator().manual_seed(1)):
                require(kept, f"reads_sample_weights is True, but {difference}")

    def test_absent_tasks(self) -> None:
        """If a task has no token, the loss and the gradients of the other tasks are finite."""
        loss = self.make()
        for present in ([0], [0, 1], [len(self.tasks) - 1]):
            tokens = only_tasks(self.tokens(), present)
            value, slope = value_and_slope(loss, tokens)
            present_tasks = f"with tokens of {len(present)} of {len(self.tasks)} tasks"
            require(bool(torch.isfinite(value)), f"the loss is {float(value)} {present_tasks}")
            require(
                bool(torch.isfinite(slope).all()),
                f"the gradient is not finite {present_tasks}: {slope.tolist()}",
            )

    def test_shares(self) -> None:
        """Shares sum to 1, are not negative, and depend on counts only, also if a task is absent."""
        loss = self.make()
        for present in (range(len(self.tasks)), [0], [0, 2]):
            tokens = only_tasks(self.tokens(), list(present))
            totals = totals_of(loss.statistics(tokens), tokens)
            everyone = replace(totals, tasks_in_mean=torch.ones_like(totals.tasks_in_mean))
            for case in (totals, everyone):
                shares = torch.where(case.tasks_in_mean, loss.task_shares(case), 0.0)
                fine = equal(shares.sum(), shares.new_ones(())) and bool((shares >= 0).all())
                require(fine, f"task_shares must sum to 1 and must not be negative: {shares.tolist()}")
                other = replace(case, statistics=case.statistics * 3 + 1)
                again = torch.where(case.tasks_in_mean, loss.task_shares(other), 0.0)
                require(
                    equal(shares, again),
                    "task_shares change with the statistics: shares may depend on counts only",
                )

    def test_float32(self) -> None:
        """With float32 log-probabilities, as from models, the loss is the same and gradients are finite."""
        loss, tokens = self.make(), self.tokens()
        single = replace(tokens, logprobs=tokens.logprobs.float())
        value, slope = value_and_slope(loss, single)
        exact, _ = value_and_slope(loss, tokens)
        near = torch.isclose(value, exact, rtol=1e-4, atol=1e-6)
        require(bool(near), f"the loss is {float(value)} in float32, but {float(exact)} in float64")
        require(bool(torch.isfinite(slope).all()), "gradients are not finite in float32")

    def test_extremes(self) -> None:
        """Loss and gradients are finite if a token is certain (log p = 0) or nearly impossible (log p = -80)."""
        loss, tokens = self.make(), self.tokens()
        for extreme in (0.0, -80.0):
            edge = replace(tokens, logprobs=torch.full_like(tokens.logprobs, extreme).float())
            value, slope = value_and_slope(loss, edge)
            fine = bool(torch.isfinite(value) and torch.isfinite(slope).all())
            require(fine, f"with log p = {extreme}, the loss ({float(value)}) or its gradient is not finite")

    def test_determinism(self) -> None:
        """The loss does not depend on the global random state, and does not change it."""
        values = []
        for seed in (0, 1):
            with seeded(seed), assert_rng_untouched("the loss"):
                loss = self.make()
                values += [value_and_slope(loss, self.tokens()) for _ in range(2)]
        first = values[0]
        same = all(torch.equal(v, first[0]) and torch.equal(s, first[1]) for v, s in values)
        require(same, "the loss is not deterministic: the same tokens gave different values or gradients")


def totals_of(statistics: Tensor, tokens: Tokens) -> Totals:
    """Return the totals as if ``tokens`` were the whole global batch."""
    counts, samples = counts_of(tokens)
    return Totals(statistics.double(), counts, samples, counts > 0)


def objective(loss: Loss, tokens: Tokens) -> Tensor:
    """Return the step's objective with equal weights: a scalar, differentiable by the log-probabilities."""
    totals = totals_of(loss.statistics(tokens), tokens)
    shares = loss.task_shares(totals)
    return torch.where(totals.tasks_in_mean, shares * loss.task_losses(totals), 0.0).sum()


def value_and_slope(loss: Loss, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Return the objective as the trainer computes it, and its gradient [V] by the log-probabilities."""
    trained = Objective(loss, tokens.num_tasks)
    logprobs = tokens.logprobs.clone().requires_grad_()
    statistics = loss.statistics(replace(tokens, logprobs=logprobs)).to(trained.dtype)
    tokens_of, samples_of = counts_of(tokens)
    counts = trained.counts(tokens_of.tolist(), samples_of.tolist())
    weights = torch.ones(tokens.num_tasks, dtype=trained.dtype)
    slope_at = trained.slopes(statistics.detach(), counts, weights)
    (slope,) = torch.autograd.grad((slope_at * statistics).sum(), logprobs)
    value, _ = trained.value(statistics.detach(), counts, weights)
    return value, slope


def _difference(loss: Loss, tokens: Tokens, step: Tensor) -> Tensor:
    with torch.no_grad():
        above = objective(loss, replace(tokens, logprobs=tokens.logprobs + step))
        return above - objective(loss, replace(tokens, logprobs=tokens.logprobs - step))


def _promise(name: str, made: bool, true: bool, what: str, of: str, use: str) -> None:
    require(true or not made, f"{name} is True, but {what} are not linear in {of}: set {name} = False")
    if true and not made:
        advise(f"{what} are linear in {of}: {name} could be True, which {use}")
