from typing import Any

import pytest
import torch

import mftkit
from mftkit.training.loss_checks import check_loss
from mftkit_registry import MftError


class Honest(mftkit.Loss):
    linear = True
    linear_in_logprobs = True

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        zeros = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return zeros.index_add(0, tokens.task, -tokens.logprobs.unsqueeze(1))

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.statistics[:, 0] / totals.tokens


class InFloat32(Honest):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens).float()


class Root(Honest):
    linear = False

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals).sqrt()


class FalselyLinear(Honest):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals).sqrt()


class LinearNearZero(Honest):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals).clamp(max=1000)


class OneSided(Honest):
    """Linear for sums below 0, which these always are; the slope elsewhere is another."""

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return -super().statistics(tokens)

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals).abs()


class Affine(Honest):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals) + 1


class FalselyLinearInLogprobs(Honest):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        zeros = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return zeros.index_add(0, tokens.task, tokens.logprobs.square().unsqueeze(1))


class MeanOfMicroBatch(Honest):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens) / len(tokens.logprobs)


class Flat(Honest):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens)[:, 0]


class Number(Honest):
    def statistics(self, tokens: mftkit.Tokens) -> Any:
        return 1.0


class Detached(Honest):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens).detach()


class Scalar(Honest):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals).mean()


class DetachedLosses(Honest):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return super().task_losses(totals).detach()


class Infinite(Root):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return (-super().task_losses(totals)).sqrt()


class SharesOfTwo(Honest):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return torch.full_like(totals.tokens, 2 / len(totals.tokens))


class SharesOfPresentOnly(Honest):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return torch.full_like(totals.tokens, 1 / len(totals.tokens))


class SharesOfLosses(Honest):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return torch.softmax(totals.statistics[:, 0], 0)


class NotANumber(Honest):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.tokens / 0


class Weighed(Honest):
    reads_sample_weights = True

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        zeros = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return zeros.index_add(0, tokens.task, -(tokens.weight * tokens.logprobs).unsqueeze(1))


class WeightsUnread(Honest):
    reads_sample_weights = True


class WeightsShared(Weighed):
    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens) / tokens.sample_weight.mean()


class WeightsPlusOne(Honest):
    reads_sample_weights = True

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return super().statistics(tokens) * (2 if tokens.weighted else 1)


class Pooled(Honest):
    pooled = True

    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.tokens / totals.tokens.sum()


class FalselyPooled(Honest):
    pooled = True


def loss(kind: type[Any], num_tasks: int) -> Any:
    return kind(mftkit.Options(), tuple(mftkit.TaskInfo(str(i)) for i in range(num_tasks)))


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", [Honest, InFloat32, Root, Weighed, Pooled])
def test_kept_promises(kind: type[Any], num_tasks: int) -> None:
    check_loss(loss(kind, num_tasks), num_tasks)


@pytest.mark.parametrize("num_tasks", [1, 2, 7])
@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (FalselyLinear, "linear is True, but its task_losses"),
        (LinearNearZero, "linear is True, but its task_losses"),
        (OneSided, "linear is True, but its task_losses"),
        (Affine, "linear is True, but its task_losses"),
        (FalselyLinearInLogprobs, "linear_in_logprobs is True, but its statistics"),
        (MeanOfMicroBatch, "statistics must add over micro-batches"),
        (Number, r"statistics must be a tensor of shape \[tasks, k\], not float"),
        (Flat, r"statistics must be of shape \[tasks, k\]"),
        (Detached, "statistics must be differentiable"),
        (Scalar, r"task_losses must be of shape \[tasks\]"),
        (DetachedLosses, "task_losses must be differentiable"),
        (Infinite, "task_losses must be finite"),
        (SharesOfTwo, "task_shares must be finite and sum to 1"),
        (NotANumber, "task_shares must be finite and sum to 1"),
        (WeightsUnread, "reads_sample_weights is True, but its statistics do not change"),
        (WeightsShared, "reads_sample_weights is True, but its statistics of weighted rows do not add"),
        (WeightsPlusOne, "reads_sample_weights is True, but its statistics with weights that are all 1"),
    ],
)
def test_broken_promises(kind: type[Any], promise: str, num_tasks: int) -> None:
    with pytest.raises(MftError, match=rf"loss: {kind.__name__} \(.*\) violates the interface.*{promise}"):
        check_loss(loss(kind, num_tasks), num_tasks)


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (SharesOfPresentOnly, "sum to 1"),
        (SharesOfLosses, "counts only"),
        (FalselyPooled, "pooled is True, but the objective"),
    ],
)
def test_shares_that_only_several_tasks_show_false(kind: type[Any], promise: str) -> None:
    with pytest.raises(MftError, match=promise):
        check_loss(loss(kind, 3), 3)


def test_random_state_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    check_loss(loss(Honest, 3), 3, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
