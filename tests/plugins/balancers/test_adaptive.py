"""What all balancers that learn have in common."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

import mftkit
from mftkit.plugins import installed, kinds
from mftkit.training.balancing import Balancing, extra_work
from recorded_losses import recorded, tasks

# So brisk that a short history moves their weights.
BRISK: dict[str, dict[str, Any]] = {
    "coba": {"every": 2, "warmup": 3},
    "famo": {"every": 2},
    "famo-training": {"losses": "training"},
    "uncertainty": {},
    "dwa": {"window": 5, "temperature": 0.5},
    "dro": {},
}


def build(name: str, count: int, **options: Any) -> Any:
    return installed.build(
        kinds.BALANCER, name.removesuffix("-training"), {**BRISK[name], **options}, tasks(count)
    )


def play(balancer: Any, losses: torch.Tensor) -> list[torch.Tensor]:
    """A run's steps, as core makes them."""
    now = 0
    balancing = Balancing(balancer, len(balancer.tasks), lambda _number, _samples: losses[now] * 0.97)
    weights = []
    for step in range(1, len(losses)):
        now = step - 1
        balancing.before_step(step)
        weights.append(balancing.weights(step, losses[step] if balancing.needs_step_losses else None))
        now = step
        balancing.after_step(
            step, losses[step], losses[step] * 0.98 if balancing.needs_losses_after_update else None
        )
    return weights


@pytest.mark.parametrize("name", BRISK)
def test_no_number_is_read_back_from_a_device(name: str) -> None:
    """The meta device has none to give: whatever reads one raises."""
    weights = play(build(name, 3), recorded(12, 3).to("meta"))
    assert {each.device.type for each in weights[6:]} == {"meta"}


@pytest.mark.parametrize("name", BRISK)
def test_a_device_without_float64_will_do(name: str) -> None:
    """Core gives it float32 losses, and moving the state must not ask for more."""
    balancer = build(name, 3)
    weights = play(balancer, recorded(40, 3).float())
    assert all(torch.isfinite(each).all() for each in weights)
    assert {held.dtype for held in balancer.state.values()} == {torch.float32}


@pytest.mark.parametrize("name", BRISK)
def test_the_weights_of_a_history_with_absent_tasks_move_and_stay_positive(name: str) -> None:
    weights = torch.stack(play(build(name, 5), recorded(60, 5, absent=0.4)))
    assert (weights > 0).all()
    torch.testing.assert_close(weights.mean(1), torch.ones(59, dtype=torch.float64))
    assert (weights[-1] - 1).abs().max() > 0.05


@pytest.mark.parametrize("name", ["uncertainty", "dwa", "dro"])
def test_they_cost_no_arithmetic(name: str) -> None:
    balancer = installed.build(kinds.BALANCER, name, {}, tasks(200))
    assert extra_work(balancer, 1000.0, 1000.0, accumulates=True) == 0


@pytest.mark.parametrize("count", [1, 2, 5, 6, 50, 200])
@pytest.mark.parametrize("name", ["coba", "famo"])
def test_the_defaults_cost_under_a_tenth_of_a_step_whatever_the_number_of_tasks(
    name: str, count: int
) -> None:
    """Of a step of 16 samples, one a row; where rows are packed, it is less."""
    balancer = installed.build(kinds.BALANCER, name, {}, tasks(count))
    minibatch = count * balancer.validation_samples
    assert 0 < extra_work(balancer, minibatch, 16.0, accumulates=True) < 0.055


@pytest.mark.parametrize(
    ("name", "option", "bad"),
    [
        ("coba", "every", 0), ("coba", "samples", 0), ("coba", "hold", -1), ("coba", "warmup", 1), ("coba", "window", 1),
        ("coba", "temperature", 0), ("coba", "floor", 1.5), ("famo", "learning_rate", 0), ("famo", "weight_decay", -1),
        ("famo", "lower_bounds", "inf"), ("famo", "lower_bounds", {"task0": "nan"}), ("famo", "losses", "both"),
        ("uncertainty", "learning_rate", -0.1), ("dwa", "window", 0), ("dwa", "temperature", 0),
        ("dro", "step_size", 0), ("dro", "smoothing", 1.1), ("dro", "reference", {"task0": -1}),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(name: str, option: str, bad: Any) -> None:
    with pytest.raises(ValidationError, match=option):
        installed.build(kinds.BALANCER, name, {option: bad}, tasks(2))


def test_a_bound_for_a_task_that_is_not_there_is_reported_with_the_nearest() -> None:
    with pytest.raises(
        mftkit.MftError, match=r"lower_bounds: no task is named 'tsk1' \(did you mean 'task1'"
    ):
        installed.build(kinds.BALANCER, "famo", {"lower_bounds": {"tsk1": 0.1}}, tasks(2))
