import importlib
import random
from typing import Any

import pytest
import torch

import mftkit
from fixture_types import Install
from mftkit.testing import ConformanceError, ConformanceWarning, LossConformance


class Good(mftkit.Loss):
    linear = True
    linear_in_logprobs = True

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return s.index_add(0, tokens.task, -tokens.logprobs.unsqueeze(1))

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)


class MeansOfMicroBatches(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        counts = torch.bincount(tokens.task, minlength=tokens.num_tasks).clamp(min=1)
        return super().statistics(tokens) / counts.unsqueeze(1)


class OfTheFirstSample(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        first = torch.where(tokens.sample == 0, -tokens.logprobs, 0)
        return s.index_add(0, tokens.task, first.unsqueeze(1))


class FalselyLinear(Good):
    linear_in_logprobs = False

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals) ** 2


class FalselyLinearInLogprobs(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return s.index_add(0, tokens.task, tokens.logprobs.exp().unsqueeze(1))


class Detached(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        weighed = tokens.logprobs * tokens.logprobs.detach()
        return s.index_add(0, tokens.task, weighed.unsqueeze(1))


class NoGradient(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens).detach()


class SpoiltByAbsentTasks(Good):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        mean = totals.statistics[:, 0] / totals.tokens
        return mean / mean.sum()


class SharesThatFollowTheLoss(Good):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return torch.softmax(totals.statistics[:, 0], 0)


class SharesThatDoNotSumToOne(Good):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return torch.ones_like(totals.tokens)


class InfiniteWhereCertain(Good):
    linear_in_logprobs = False

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return s.index_add(0, tokens.task, (-tokens.logprobs).sqrt().unsqueeze(1))


class Drawn(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        torch.rand(1)
        return super().statistics(tokens) * (1 + random.random())


class FlatShape(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens)[:, 0]


class ThreeTasksOnly(Good):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals)[:3]


class WeightsUnread(Good):
    reads_sample_weights = True


class DoubleOnly(Good):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        s = torch.zeros(tokens.num_tasks, 1, dtype=torch.float64)
        return s.index_add(0, tokens.task, -tokens.logprobs.unsqueeze(1))


def suite(component: type[Any], **options: Any) -> LossConformance:
    made = LossConformance()
    made.component, made.options = component, options  # type: ignore[misc]
    return made


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (MeansOfMicroBatches, "statistics_add_over_splits", "do not add over micro-batches"),
        (OfTheFirstSample, "order_does_not_matter", "order of the samples"),
        (FalselyLinear, "promise_linear", "set linear = False"),
        (FalselyLinearInLogprobs, "promise_linear_in_logprobs", "set linear_in_logprobs = False"),
        (Detached, "gradients", "differ from finite differences"),
        (WeightsUnread, "promise_reads_sample_weights", "do not change with tokens.weight"),
        (NoGradient, "gradients", "detach"),
        (SpoiltByAbsentTasks, "absent_tasks", "with tokens of 1 of 3 tasks"),
        (SharesThatFollowTheLoss, "shares", "may depend on counts only"),
        (SharesThatDoNotSumToOne, "shares", "must sum to 1"),
        (InfiniteWhereCertain, "extremes", "log p = 0.0"),
        (Drawn, "determinism", "draws from the random state of torch and random"),
        (FlatShape, "shapes", "statistics must have shape"),
        (ThreeTasksOnly, "shapes", "task_losses has shape .3,. with 200 tasks"),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        getattr(suite(component), f"test_{check}")()


def test_a_loss_that_does_not_work_in_float32_is_caught() -> None:
    with pytest.raises(RuntimeError, match="same dtype|scalar type"):
        suite(DoubleOnly).test_float32()


@pytest.mark.parametrize("name", ["linear", "linear_in_logprobs"])
def test_a_true_promise_that_is_not_made_is_a_hint(name: str) -> None:
    modest = type("Modest", (Good,), {name: False})
    with pytest.warns(ConformanceWarning, match=f"{name} could be True"):
        getattr(suite(modest), f"test_promise_{name}")()


class Bare(mftkit.Loss):
    class Options(mftkit.Options):
        told: float = 1.0
        """Something."""
        untold: float = 2.0


def test_options_without_a_description_are_a_warning() -> None:
    with pytest.warns(ConformanceWarning, match="no description: untold"):
        suite(Bare).test_every_option_is_described()


class Lossy(mftkit.Loss):
    class Options(mftkit.Options):
        scale: float = 1.0

        def model_dump_json(self, **how: Any) -> str:
            return "{}"


def test_options_that_are_not_read_as_written_are_caught() -> None:
    suite(Lossy).test_options_round_trip()
    with pytest.raises(ConformanceError, match="options are written as {}"):
        suite(Lossy, scale=2.0).test_options_round_trip()


def test_a_heavy_front_module_is_a_warning(install: Install) -> None:
    source = "import mftkit, torch\nclass Heavy(mftkit.Loss): ...\n"
    install("mft-heavy", {"heavy": "mft_heavy"}, {"mft_heavy": source})
    mft_heavy = importlib.import_module("mft_heavy")

    with pytest.warns(ConformanceWarning, match="importing mft_heavy loads torch"):
        suite(mft_heavy.Heavy).test_listing_it_is_light()
