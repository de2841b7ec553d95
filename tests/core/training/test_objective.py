import math
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch

import mftkit
from mftkit.training.objective import Objective, accumulation_dtype, normalize
from mftkit_registry import MftError


def sums(tokens: mftkit.Tokens) -> torch.Tensor:
    zeros = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
    return zeros.index_add(0, tokens.task, -tokens.logprobs.unsqueeze(1))


class Mean(mftkit.Loss):
    linear = True

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        return sums(tokens)

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.statistics[:, 0] / totals.tokens


class Root(Mean):
    linear = False

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return (totals.statistics[:, 0] / totals.tokens.clamp(min=1)).sqrt()


class Floored(Mean):
    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.statistics[:, 0] / totals.samples.clamp(min=1)


class BySamples(Mean):
    def task_shares(self, totals: mftkit.Totals) -> torch.Tensor:
        return totals.samples / totals.samples.sum()


TASKS = (
    mftkit.TaskInfo("a", samples=4, tokens=40),
    mftkit.TaskInfo("b", samples=2, tokens=10),
    mftkit.TaskInfo("c", samples=6, tokens=60),
)


def objective(
    kind: type[Any] = Mean,
    task_mean: Literal["present", "all", "dataset"] = "present",
    steps_per_epoch: float | None = None,
) -> Any:
    return Objective(kind(mftkit.Options(), TASKS), 3, task_mean, steps_per_epoch=steps_per_epoch)


def batch(task: list[int], sample: Any = None, sample_task: Any = None) -> SimpleNamespace:
    sample = list(range(len(task))) if sample is None else sample
    sample_task = task if sample_task is None else sample_task
    return SimpleNamespace(
        task=torch.tensor(task, dtype=torch.int64),
        sample=torch.tensor(sample, dtype=torch.int64),
        sample_task=torch.tensor(sample_task, dtype=torch.int64),
        sample_weight=None,
    )


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


ONES = torch.ones(3, dtype=torch.float64)


def test_present_tasks_are_averaged() -> None:
    counts = objective().counts([4, 0, 2], [2, 0, 1])
    value, losses = objective().value(column(8.0, 0.0, 2.0), counts, ONES)
    assert float(value) == pytest.approx((2 + 1) / 2)
    assert losses.tolist() == pytest.approx([2, math.nan, 1], nan_ok=True)
    assert objective().slopes(None, counts, ONES).flatten().tolist() == pytest.approx([1 / 8, 0, 1 / 4])


def test_absent_tasks_count_as_zero_in_a_mean_over_all() -> None:
    counts = objective().counts([4, 0, 2], [2, 0, 1])
    value, _ = objective(task_mean="all").value(column(8.0, 0.0, 2.0), counts, ONES)
    assert float(value) == pytest.approx(1)


def test_counts_of_the_training_set_a_step() -> None:
    whole = objective(task_mean="dataset", steps_per_epoch=4)
    counts = whole.counts([4, 0, 2], [2, 0, 1])
    value, losses = whole.value(column(8.0, 0.0, 2.0), counts, ONES)
    assert float(value) == pytest.approx((8 / 10 + 2 / 15) / 3)
    assert losses.tolist() == pytest.approx([2, math.nan, 1], nan_ok=True)  # what a balancer learns from
    slopes = whole.slopes(None, counts, ONES).flatten().tolist()
    assert slopes == pytest.approx([1 / 30, 0, 1 / 45])


def test_mean_gradient_of_an_epoch_is_that_of_the_whole_training_set() -> None:
    """The promise of "dataset": with steps that lack tasks, too."""
    whole = objective(task_mean="dataset", steps_per_epoch=2)
    steps = [([30, 10, 0], [3, 2, 0]), ([10, 0, 60], [1, 0, 6])]
    slopes = [whole.slopes(None, whole.counts(*step), ONES) for step in steps]
    for i, task in enumerate(TASKS):
        used = [slope[i, 0] for slope, (tokens, _) in zip(slopes, steps, strict=True) if tokens[i]]
        for slope in used:
            assert float(slope) / 2 == pytest.approx(1 / 3 / task.tokens)


def test_dataset_needs_a_linear_loss_and_the_number_of_steps() -> None:
    with pytest.raises(MftError, match=r'training\.task_mean: "dataset".*Root is not'):
        objective(Root, "dataset")
    with pytest.raises(ValueError, match="steps_per_epoch"):
        objective(task_mean="dataset")


def test_dataset_refuses_a_loss_that_takes_small_counts_for_one() -> None:
    objective(Floored, "dataset", 2)
    with pytest.raises(MftError, match=r'task_mean: "dataset" gives a, b less than one.*Floored'):
        objective(Floored, "dataset", 5)
    exact = objective(task_mean="dataset", steps_per_epoch=1000)
    slopes = exact.slopes(None, exact.counts([1, 1, 1], [1, 1, 1]), ONES).flatten()
    assert slopes.tolist() == pytest.approx([1000 / 40 / 3, 1000 / 10 / 3, 1000 / 60 / 3])


def test_weights_and_shares_multiply() -> None:
    loss = objective(BySamples)
    counts = loss.counts([4, 2, 2], [1, 2, 1])
    weights = torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64)
    value, _ = loss.value(column(8.0, 6.0, 2.0), counts, weights)
    assert float(value) == pytest.approx(0 * 0.25 * 2 + 2 * 0.5 * 3 + 1 * 0.25 * 1)
    slopes = loss.slopes(None, counts, weights).flatten().tolist()
    assert slopes == pytest.approx([0, 2 * 0.5 / 2, 0.25 / 2])


def test_infinite_slope_of_an_absent_task_does_no_harm() -> None:
    root = objective(Root)
    totals, counts = column(8.0, 0.0, 2.0), root.counts([2, 0, 2], [1, 0, 1])
    slopes = root.slopes(totals, counts, ONES).flatten()
    assert slopes.tolist() == pytest.approx([0.5 * 0.5 / 4**0.5 / 2, 0, 0.5 * 0.5 / 2])
    assert float(root.value(totals, counts, ONES)[0]) == pytest.approx((2 + 1) / 2)


def test_a_present_task_that_is_not_finite_is_not_hidden() -> None:
    counts = objective().counts([2, 0, 2], [1, 0, 1])
    value, losses = objective().value(column(8.0, 0.0, math.nan), counts, ONES)
    assert math.isnan(value)
    assert losses[0] == 4


def test_slope_of_a_loss_that_is_not_linear_needs_totals() -> None:
    root = objective(Root)
    assert not root.linear
    with pytest.raises(ValueError, match="depend on the totals"):
        root.slopes(None, root.counts([1, 1, 1], [1, 1, 1]), ONES)


def test_slopes_do_not_depend_on_the_grad_mode() -> None:
    root = objective(Root)
    counts = root.counts([1, 1, 1], [1, 1, 1])
    with torch.no_grad():
        slopes = root.slopes(column(1.0, 4.0, 9.0), counts, ONES)
    assert not slopes.requires_grad
    assert slopes.flatten().tolist() == pytest.approx([1 / 6, 1 / 12, 1 / 18])


def test_statistics_are_summed_in_float64_and_keep_the_graph() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -4.0], requires_grad=True)
    found = objective().statistics(logprobs, batch([0, 2, 2]))
    assert found.dtype == torch.float64
    assert found.flatten().tolist() == [1, 0, 6]
    (found * column(1.0, 5.0, 3.0)).sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-1, -3, -3]


def test_a_micro_batch_without_tokens_has_zeros_and_a_graph() -> None:
    class Uncalled(Mean):
        def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
            assert len(tokens.logprobs)
            return sums(tokens)

    hidden = torch.ones(2, requires_grad=True)
    found = objective(Uncalled).statistics(hidden[:0], batch([]))
    assert torch.equal(found.detach(), torch.zeros(3, 1, dtype=torch.float64))
    found.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [0, 0]


def test_statistics_of_another_shape_are_refused() -> None:
    class Shrinking(Mean):
        def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
            found = sums(tokens)
            return found if len(tokens.logprobs) > 1 else found.sum(0, keepdim=True)

    with pytest.raises(MftError, match=r"Shrinking\.statistics are of shape \(1, 1\)"):
        objective(Shrinking).statistics(torch.tensor([-1.0]), batch([0]))


def test_weights_are_divided_by_their_mean_over_all_tasks() -> None:
    assert normalize(torch.tensor([0.0, 1.0, 5.0])).tolist() == [0, 0.5, 2.5]
    assert normalize(torch.tensor([1e-30, 1e-30])).tolist() == [1, 1]


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]])
def test_weights_that_mean_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(MftError, match="balancer: "):
        normalize(torch.tensor(weights))


def test_float64_but_where_the_device_has_none() -> None:
    assert accumulation_dtype(torch.device("cpu")) == torch.float64
    assert accumulation_dtype(torch.device("cuda")) == torch.float64
    assert accumulation_dtype(torch.device("mps")) == torch.float32
