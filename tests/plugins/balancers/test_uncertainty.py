"""Uncertainty weighting against torch's own Adam on the objective, and against TorchJD's."""

from typing import Any

import pytest
import torch
from torchjd.scalarization import UW

from mftkit.plugins import installed, kinds
from mftkit.training.objective import normalize
from mftkit_plugins.balancers.uncertainty import Uncertainty
from recorded_losses import recorded, tasks


def build(count: int, **options: Any) -> Uncertainty:
    found = installed.build(kinds.BALANCER, "uncertainty", options, tasks(count))
    assert isinstance(found, Uncertainty)
    return found


def test_the_log_variances_are_those_of_the_objective_trained_by_adam() -> None:
    balancer = build(4, learning_rate=0.05)
    s = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([s], lr=0.05)
    for step, losses in enumerate(recorded(80, 4), start=1):
        torch.testing.assert_close(balancer.weights(), torch.softmax(-s.detach(), 0))
        adam.zero_grad()
        (torch.exp(-s) * losses + s).sum().backward()
        adam.step()
        balancer.observe(step, losses, None)
    torch.testing.assert_close(balancer.state["log_variance"], s.detach())


def test_the_weights_are_torchjds() -> None:
    """Its objective is half of this one, which Adam does not see but for its epsilon."""
    balancer, reference = build(3), UW(3).double()
    adam = torch.optim.Adam(reference.parameters(), lr=0.01)
    for step, losses in enumerate(recorded(80, 3), start=1):
        values = losses.clone().requires_grad_()
        total = reference(values)
        adam.zero_grad()
        total.backward()
        torch.testing.assert_close(normalize(balancer.weights()), normalize(values.grad), rtol=1e-6, atol=0)
        adam.step()
        balancer.observe(step, losses, None)


def test_at_rest_a_weight_is_one_over_the_loss() -> None:
    balancer = build(3, learning_rate=0.1)
    losses = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
    for step in range(1, 400):
        balancer.observe(step, losses, None)
    assert normalize(balancer.weights()).tolist() == pytest.approx(normalize(1 / losses).tolist(), rel=1e-3)


def test_an_absent_task_keeps_its_own_and_the_others_do_not_notice() -> None:
    both, one = build(2), build(1)
    history = recorded(60, 2, absent=0.5)
    for step, losses in enumerate(history, start=1):
        both.observe(step, losses, None)
        if not losses[1].isnan():
            one.observe(step, losses[1:], None)
    assert both.state["log_variance"][1] == one.state["log_variance"][0] != 0
