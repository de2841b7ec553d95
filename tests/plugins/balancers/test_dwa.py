"""Dynamic weight averaging, step by step against TorchJD's, and with tasks that are absent."""

import math
from typing import Any

import pytest
import torch
from torchjd.scalarization import DWA

from mftkit.plugins import installed, kinds
from mftkit.training.objective import normalize
from mftkit_plugins.balancers.dwa import Dwa
from recorded_losses import recorded, tasks


def build(count: int, **options: Any) -> Dwa:
    found = installed.build(kinds.BALANCER, "dwa", options, tasks(count))
    assert isinstance(found, Dwa)
    return found


@pytest.mark.parametrize(("window", "temperature"), [(1, 2.0), (7, 2.0), (7, 0.3)])
def test_it_is_torchjds_step_by_step(window: int, temperature: float) -> None:
    """TorchJD's weights sum to the number of tasks, as core's do, and its window is closed by hand."""
    balancer, reference = build(4, window=window, temperature=temperature), DWA(temperature)
    moved = False
    for step, losses in enumerate(recorded(60, 4), start=1):
        values = losses.clone().requires_grad_()
        (expected,) = torch.autograd.grad(reference(values), values)
        torch.testing.assert_close(normalize(balancer.weights()), expected)
        moved |= bool((expected - 1).abs().max() > 0.01)
        balancer.observe(step, losses, None)
        if step % window == 0:
            reference.step()
    assert moved


def by_hand(history: list[list[float]], window: int, temperature: float) -> list[list[float]]:
    """Weights before each step, from lists of numbers."""
    count = len(history[0])
    means: list[list[float]] = []
    weights: list[list[float]] = []
    for step in range(len(history)):
        if step and step % window == 0:
            rows = history[step - window : step]
            mean = []
            for i in range(count):
                there = [row[i] for row in rows if not math.isnan(row[i])]
                before = means[-1][i] if means else math.nan
                mean.append(sum(there) / len(there) if there else before)
            means.append(mean)
        rates = [1.0] * count
        if len(means) > 1:
            rates = [a / b if a == a and b == b else 1.0 for a, b in zip(means[-1], means[-2], strict=True)]
        powers = [math.exp(rate / temperature) for rate in rates]
        weights.append([power / sum(powers) for power in powers])
    return weights


def test_absent_tasks_by_a_direct_computation() -> None:
    history = recorded(48, 3, absent=0.5)
    history[8:16, 2] = torch.nan  # two whole windows
    history[:4, 1] = torch.nan  # the first one
    balancer = build(3, window=4, temperature=0.5)
    expected = by_hand(history.tolist(), 4, 0.5)
    for step, losses in enumerate(history, start=1):
        assert balancer.weights().tolist() == pytest.approx(expected[step - 1], rel=1e-12)
        balancer.observe(step, losses, None)
    assert expected[12] != expected[8]
