"""Online group DRO against its two lines written down directly."""

import math
from typing import Any

import pytest
import torch

import mftkit
from mftkit.plugins import installed, kinds
from recorded_losses import recorded, tasks


def build(count: int, **options: Any) -> Any:
    return installed.build(kinds.BALANCER, "dro", options, tasks(count))


def by_hand(
    history: list[list[float]], step_size: float, smoothing: float, reference: list[float]
) -> list[list[float]]:
    """Weights before each step, and after the last."""
    count = len(reference)
    weights = [[1 / count] * count]
    for losses in history:
        grown = [
            w if math.isnan(loss) else w * math.exp(step_size * max(loss - ref, 0.0))
            for w, loss, ref in zip(weights[-1], losses, reference, strict=True)
        ]
        weights.append([(1 - smoothing) * w / sum(grown) + smoothing / count for w in grown])
    return weights


@pytest.mark.parametrize("reference", [None, [0.2, 1.5, 0.0, 3.0]])
@pytest.mark.parametrize(("step_size", "smoothing"), [(0.01, 0.001), (1.0, 0.05), (0.3, 0.0)])
def test_by_a_direct_computation_with_absent_tasks(
    reference: list[float] | None, step_size: float, smoothing: float
) -> None:
    named = None if reference is None else {f"task{i}": loss for i, loss in enumerate(reference)}
    balancer = build(4, step_size=step_size, smoothing=smoothing, reference=named)
    history = recorded(50, 4, absent=0.3)
    expected = by_hand(history.tolist(), step_size, smoothing, reference or [0.0] * 4)
    for step, losses in enumerate(history, start=1):
        assert balancer.weights().tolist() == pytest.approx(expected[step - 1], rel=1e-9)
        balancer.observe(step, losses, None)
    assert balancer.weights().tolist() == pytest.approx(expected[-1], rel=1e-9)


def test_the_worst_task_gains_and_no_share_falls_below_the_floor() -> None:
    balancer = build(3, step_size=5.0, smoothing=0.03)
    for step in range(1, 200):
        balancer.observe(step, torch.tensor([1.0, 9.0, 2000.0], dtype=torch.float64), None)
    assert balancer.weights().tolist() == pytest.approx([0.01, 0.01, 0.98], rel=1e-9)


def test_without_smoothing_a_weight_may_reach_zero_and_the_others_stay_finite() -> None:
    balancer = build(2, step_size=5.0, smoothing=0.0)
    for step in range(1, 20):
        balancer.observe(step, torch.tensor([0.0, 1000.0], dtype=torch.float64), None)
    assert balancer.weights().tolist() == [0.0, 1.0]


def test_a_task_at_its_reference_loses_to_one_above_its_own() -> None:
    balancer = build(2, step_size=0.5, reference={"task0": 3.0, "task1": 0.5})
    balancer.observe(1, torch.tensor([2.9, 1.0], dtype=torch.float64), None)
    first, second = balancer.weights().tolist()
    assert first < second


def test_references_are_needed_for_all_tasks_or_none() -> None:
    with pytest.raises(
        mftkit.MftError, match=r"reference: expected a number for each task, but 'task1', 'task2' have none"
    ):
        build(3, reference={"task0": 1.0})


def test_a_reference_for_a_task_that_is_not_there_is_reported_with_the_nearest() -> None:
    with pytest.raises(
        mftkit.MftError,
        match=r"balancer\.options\.reference: no task is named 'taks1' \(did you mean 'task1'\?\)",
    ):
        build(2, reference={"task0": 1.0, "taks1": 1.0})
