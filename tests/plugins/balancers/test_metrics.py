"""What balancers show of their state."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mftkit
from mftkit_plugins.balancers.coba import Coba
from mftkit_plugins.balancers.dwa import Dwa
from mftkit_plugins.balancers.famo import Famo
from mftkit_plugins.balancers.uncertainty import Uncertainty

TASKS = (mftkit.TaskInfo("a", samples=9, valid_samples=4), mftkit.TaskInfo("b", samples=9, valid_samples=4))


def losses(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def made(component: Any, **options: Any) -> Any:
    return component(component.Options(**options), TASKS)


def test_coba_after_its_warm_up() -> None:
    balancer = made(Coba, warmup=2, every=1)
    balancer.observe(1, losses(1, 1), losses(2.0, 4.0))
    assert balancer.metrics() == {}
    balancer.observe(2, losses(1, 1), losses(1.0, 3.0))
    metrics = balancer.metrics()
    assert metrics["slope/a"] == pytest.approx(-0.5)
    assert metrics["slope/b"] == pytest.approx(-0.25)
    assert metrics["divergence_factor"] == 1.0
    relative = torch.softmax(losses(2 * -0.5, 2 * -0.25) / 0.75, 0)
    assert torch.allclose(balancer.weights(), 0.9 * relative + 0.05)


def test_the_others() -> None:
    dwa = made(Dwa, window=1)
    assert dwa.metrics() == {}
    for step, values in enumerate(((2.0, 1.0), (1.0, 1.0)), start=1):
        dwa.observe(step, losses(*values), None)
    assert dwa.metrics() == {"rate/a": 0.5, "rate/b": 1.0}
    famo = made(Famo)
    famo.compare(1, losses(2, 2), losses(1, 2))
    logits = famo.metrics()
    assert logits["logit/a"] < 0 < logits["logit/b"]
    uncertainty = made(Uncertainty)
    uncertainty.observe(1, losses(2.0, 0.5), None)
    values = uncertainty.metrics()
    assert values["log_variance/a"] > 0 > values["log_variance/b"]
    assert torch.allclose(uncertainty.weights(), torch.softmax(-losses(*values.values()), 0))
