from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mftkit.training.optimizer import learning_rate, make_optimizer, warmup_steps


def training(**changes: Any) -> Any:
    settings = {
        "peak_learning_rate": 1.0,
        "min_learning_rate": 0.1,
        "warmup": 0.1,
        "scheduler": "cosine",
        "weight_decay": 0.1,
    }
    return SimpleNamespace(**(settings | changes))


@pytest.mark.parametrize("scheduler", ["cosine", "linear"])
def test_rises_linearly_to_the_peak_and_falls_to_the_least(scheduler: str) -> None:
    rates = [learning_rate(step, 100, training(scheduler=scheduler)) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[9] == max(rates)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_linear_is_half_way_in_the_middle() -> None:
    assert learning_rate(55, 100, training(scheduler="linear")) == pytest.approx(0.55)


def test_constant_stays_at_the_peak() -> None:
    assert learning_rate(100, 100, training(scheduler="constant")) == 1.0


def test_no_warmup_starts_below_nothing() -> None:
    assert learning_rate(1, 10, training(warmup=0, scheduler="constant")) == 1.0


def test_warmup_of_one_or_more_is_in_steps() -> None:
    assert warmup_steps(7, 100) == 7
    assert warmup_steps(0.07, 100) == 7


def test_vectors_are_not_decayed() -> None:
    optimizer = make_optimizer(torch.nn.Linear(3, 2), training())
    decayed, free = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in free["params"]] == [1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def test_frozen_parameters_are_left_alone() -> None:
    model = torch.nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    assert [len(g["params"]) for g in make_optimizer(model, training()).param_groups] == [1]
