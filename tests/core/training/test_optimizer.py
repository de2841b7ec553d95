from types import SimpleNamespace
from typing import Any

import torch

from mftkit.training.optimizer import make_optimizer


def training(**changes: Any) -> Any:
    settings = {
        "peak_learning_rate": 1.0,
        "min_learning_rate": 0.1,
        "warmup": 0.1,
        "scheduler": "cosine",
        "weight_decay": 0.1,
    }
    return SimpleNamespace(**(settings | changes))


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
