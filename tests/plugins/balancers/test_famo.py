"""FAMO, step by step against TorchJD's, and what TorchJD has not: absent tasks, checked bounds, a state that resumes."""

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torchjd.scalarization import FAMO

import mftkit
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing
from mftkit.training.objective import Objective, normalize
from mftkit_plugins.balancers.famo import BOUND_CHECK_EVERY
from recorded_losses import recorded, tasks


def build(count: int, **options: Any) -> Any:
    return installed.build(kinds.BALANCER, "famo", options, tasks(count))


def torchjd_weights(reference: FAMO, losses: torch.Tensor) -> torch.Tensor:
    """The slopes of TorchJD's objective at the losses: they sum to 1, where core's weights have a mean of 1."""
    values = losses.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(reference(values), values)
    return slopes


def pairs(steps: int, count: int, **how: Any) -> Iterable[tuple[int, Any, Any]]:
    """Losses of a step's batch before and after its update; the next batch is another."""
    before = recorded(steps, count, **how)
    fall = 0.02 + 0.1 * recorded(steps, count, seed=1) / recorded(steps, count, seed=1).max()
    return zip(range(1, steps + 1), before, before * (1 - fall), strict=True)


@pytest.mark.parametrize("bounds", [None, [0.0, 0.05, -0.3, 0.01]])
@pytest.mark.parametrize("decay", [0.001, 0.3])
def test_training_form_is_torchjds_step_by_step(bounds: list[float] | None, decay: float) -> None:
    named = 0.0 if bounds is None else {f"task{i}": bound for i, bound in enumerate(bounds)}
    balancer = build(4, losses="training", weight_decay=decay, lower_bounds=named)
    least = None if bounds is None else torch.tensor(bounds)
    reference = FAMO(4, min_losses=least, weight_decay=decay).double()
    for step, before, after in pairs(80, 4):
        balancer.prepare(step, before, None)
        expected = torchjd_weights(reference, before)
        torch.testing.assert_close(balancer.weights() / 4, expected, rtol=1e-6, atol=0)
        reference.update(after)
        balancer.compare(step, before, after)
    logits = balancer.state["logits"]
    torch.testing.assert_close(logits, reference._w.detach(), rtol=1e-6, atol=1e-9)
    assert logits.max() - logits.min() > (0.3 if decay < 0.1 else 0.03), "the history moves them"


@pytest.mark.parametrize("hold", [0, 1, 3])
def test_validation_form_is_torchjds_on_the_held_mini_batches(hold: int) -> None:
    """TorchJD is shown the very losses: before, at the last look, and after, now, of the same mini-batch."""
    every, count = 2, 3
    moments = recorded(61, count)
    shown, now = [], 0

    def take(turn: int, samples: int) -> torch.Tensor:
        assert samples == 2
        shown.append(moments[now] * (1 + 0.1 * math.sin(turn)))
        return shown[-1]

    balancer = build(count, every=every, hold=hold)
    balancing = Balancing(balancer, count, take)
    reference = FAMO(count).double()
    compared = []
    balancer_compare = balancer.compare

    def compare(step: int, before: torch.Tensor, after: torch.Tensor) -> None:
        compared.append((before, after))
        balancer_compare(step, before, after)

    balancer.compare = compare
    for step in range(1, 61):
        now = step - 1
        balancing.before_step(step)
        weights = balancing.weights(step, None)
        if compared:
            z = torch.softmax(reference._w.detach(), 0) / (compared[-1][1] + 1e-8)
            torch.testing.assert_close(weights, count * z / z.sum(), rtol=1e-6, atol=0)
        else:
            assert weights.tolist() == [1.0] * count, "nothing is known yet"
        now = step
        known = len(compared)
        balancing.after_step(step, moments[step], None)
        for before, after in compared[known:]:
            reference(before)
            reference.update(after)
    assert len(compared) == 30
    torch.testing.assert_close(balancer.state["logits"], reference._w.detach(), rtol=1e-6, atol=1e-9)


def by_hand(
    moments: list[tuple[list[float], list[float]]], count: int, rate: float = 0.025, decay: float = 0.001
) -> tuple[list[list[float]], list[float]]:
    """Task by task in plain numbers: weights of each step, and the logits at the end."""
    x, m, v, n = ([0.0] * count for _ in range(4))
    weights = []
    for before, after in moments:
        here = [i for i in range(count) if not math.isnan(before[i])]
        total = sum(math.exp(x[i]) for i in here)
        z = {i: math.exp(x[i]) / total for i in here}
        c = sum(z[i] / (before[i] + 1e-8) for i in here)
        weights.append([len(here) * z[i] / (before[i] + 1e-8) / c if i in z else 1.0 for i in range(count)])
        gain = {i: math.log(before[i] + 1e-8) - math.log(after[i] + 1e-8) for i in here}
        mean = sum(z[i] * gain[i] for i in here)
        for i in here:
            g = z[i] * (gain[i] - mean) + decay * x[i]
            n[i] += 1
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            x[i] -= rate * (m[i] / (1 - 0.9 ** n[i])) / (math.sqrt(v[i] / (1 - 0.999 ** n[i])) + 1e-8)
    return weights, x


def test_absent_tasks_by_a_direct_computation() -> None:
    balancer = build(5, losses="training")
    moments = list(pairs(60, 5, absent=0.4))
    weights, logits = by_hand([(b.tolist(), a.tolist()) for _, b, a in moments], 5)
    for (step, before, after), expected in zip(moments, weights, strict=True):
        balancer.prepare(step, before, None)
        assert balancer.weights().tolist() == pytest.approx(expected, rel=1e-9)
        balancer.compare(step, before, after)
    assert balancer.state["logits"].tolist() == pytest.approx(logits, rel=1e-7, abs=1e-12)


def test_a_task_that_is_never_there_is_as_if_it_were_not() -> None:
    four, three = build(4, losses="training"), build(3, losses="training")
    nothing = torch.tensor([torch.nan], dtype=torch.float64)
    for step, before, after in pairs(30, 3):
        three.prepare(step, before, None)
        four.prepare(step, torch.cat([before, nothing]), None)
        torch.testing.assert_close(four.weights()[:3], three.weights())
        assert four.weights()[3] == 1.0
        three.compare(step, before, after)
        four.compare(step, torch.cat([before, nothing]), torch.cat([after, nothing]))
    assert four.state["logits"][3] == 0


@pytest.mark.parametrize("counts", [[4.0, 9.0, 2.0], [4.0, 0.0, 2.0]])
def test_the_gradient_is_famos_for_equal_shares_absent_tasks_or_not(counts: list[float]) -> None:
    """Through core's objective, to the slopes of the statistics; TorchJD sees the tasks that are there."""
    loss = installed.build(kinds.LOSS, "token-balanced", {}, tasks(3))
    objective = Objective(loss, 3)
    here = [i for i, n in enumerate(counts) if n]
    tokens = objective.counts(counts, counts)
    balancer = build(3, losses="training")
    reference = FAMO(len(here)).double()
    for step in range(1, 20):
        totals = recorded(20, 3, seed=step)[step].unsqueeze(1) * torch.tensor(counts).unsqueeze(1)
        losses = objective.task_losses(totals, tokens)
        balancer.prepare(step, losses, None)
        slopes = objective.slopes(totals, tokens, normalize(balancer.weights()))[here, 0]
        sums = totals[here, 0].clone().requires_grad_()
        (expected,) = torch.autograd.grad(reference(sums / torch.tensor(counts)[here]), sums)
        torch.testing.assert_close(slopes, expected, rtol=1e-6, atol=0)
        after = losses * torch.tensor([0.9, 0.95, 0.99])
        balancer.compare(step, losses, after)
        reference.update(after[here])


def test_a_loss_that_reaches_its_bound_is_reported_and_kept_in_no_checkpoint() -> None:
    balancer = build(2, losses="training", lower_bounds={"task1": 0.5})
    losses = torch.tensor([1.0, 0.5], dtype=torch.float64)
    balancer.prepare(1, losses, None)
    with pytest.raises(mftkit.MftError, match=r"lower_bounds: .* of 'task1' \(0\.5, not above 0\.5\)"):
        balancer.compare(1, losses, losses)
    with pytest.raises(mftkit.MftError, match="lower_bounds"):
        balancer.state_dict()


def test_a_loss_of_zero_is_refused_by_default_and_let_through_by_a_negative_bound() -> None:
    zero = torch.tensor([1.0, 0.0], dtype=torch.float64)
    with pytest.raises(mftkit.MftError, match="a negative bound"):
        build(2).compare(5, zero, zero)
    balancer = build(2, lower_bounds=-0.1)
    balancer.compare(5, zero, zero)
    assert balancer.weights().tolist() == pytest.approx([2 * 0.1 / 1.2, 2 * 1.1 / 1.2])


def test_a_loss_that_is_not_finite_leaves_the_state_finite() -> None:
    balancer = build(2, losses="training")
    broken = torch.tensor([1.0, torch.inf], dtype=torch.float64)
    balancer.prepare(1, broken, None)
    balancer.compare(1, broken, torch.tensor([0.9, torch.nan], dtype=torch.float64))
    assert all(torch.isfinite(balancer.state[name]).all() for name in ("logits", "first", "second"))


def test_what_it_asks_of_core() -> None:
    usual = build(3)
    assert (usual.compares, usual.needs_validation, usual.minibatch_reuse, usual.needs_step_losses) == (
        "validation",
        5,
        5,
        False,
    )
    training = build(3, losses="training")
    assert (training.compares, training.needs_validation, training.needs_step_losses) == ("training", 0, True)
    assert build(200).needs_validation == 200, "the cost of a step does not grow with the tasks"
    assert build(200, every=7).needs_validation == 7


@pytest.mark.parametrize("idle", [{"every": 3}, {"samples": 9}, {"hold": 0}])
def test_options_without_effect_are_refused(idle: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=f'{next(iter(idle))}: no effect with losses "train'):
        build(2, losses="training", **idle)


def test_on_a_device_bounds_are_looked_at_now_and_then() -> None:
    assert BOUND_CHECK_EVERY == 50, "as often as core looks for losses that are not finite"
