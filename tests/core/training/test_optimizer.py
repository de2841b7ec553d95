"""Groups of parameters, and what core checks of an optimizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import mftkit
from mftkit import MftError
from mftkit.interfaces.optimizer import ParameterGroup, TrainedParameter
from mftkit.spec import TrainingSpec
from mftkit.training.optimizer import SCALE, group_parameters, make_optimizer

SHAPES = {
    "model.embed_tokens.weight": (8, 4),
    "model.layers.1.mlp.up.weight": (4, 4),
    "model.layers.1.norm.weight": (4,),
    "model.layers.11.mlp.up.weight": (4, 4),
}
TRAINED = [TrainedParameter(name, nn.Parameter(torch.ones(shape))) for name, shape in SHAPES.items()]


def grouped(*groups: dict[str, Any]) -> list[ParameterGroup]:
    training = TrainingSpec(learning_rate=1.0, weight_decay=0.1, parameter_groups=list(groups))  # type: ignore[arg-type]
    return group_parameters(TRAINED, training)


def shown(groups: list[ParameterGroup]) -> list[tuple[list[int], float, float]]:
    return [
        ([TRAINED.index(m) for m in group.members], group.learning_rate, group.weight_decay)
        for group in groups
    ]


def test_vectors_are_not_decayed() -> None:
    assert shown(grouped()) == [([0, 1, 3], 1.0, 0.1), ([2], 1.0, 0.0)]


def test_the_first_group_that_matches_decides() -> None:
    found = grouped(
        {"pattern": ["layers.1"], "learning_rate_scale": 0.5},
        {"pattern": r".*\.mlp\..*", "weight_decay": 0.0},
        {"pattern": ["embed_tokens"], "learning_rate_scale": 0.1, "weight_decay": 0.3},
    )
    assert shown(found) == [([1], 0.5, 0.1), ([2], 0.5, 0.0), ([3], 1.0, 0.0), ([0], 0.1, 0.3)]
    optimizer = make_optimizer("x", mftkit.build_component(mftkit.Optimizer, "adamw"), found)
    assert [group.get(SCALE, 1.0) for group in optimizer.param_groups] == [0.5, 0.5, 1.0, 0.1]


def test_a_group_without_parameters_is_refused() -> None:
    with pytest.raises(
        MftError, match=r'groups.0.pattern: "embed_token" matches no .*did you mean embed_tokens\?'
    ):
        grouped({"pattern": ["layers", "embed_token"]})
    with pytest.raises(MftError, match="groups.1: earlier groups name all of its parameters"):
        grouped({"pattern": ["layers"]}, {"pattern": ["norm"]})


class Forgetful(mftkit.Optimizer):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([groups[0].as_torch()])


class Mixing(mftkit.Optimizer):
    def build(self, groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([groups[0].as_torch([m for group in groups for m in group.members])])


def test_a_component_that_misuses_the_groups_is_named() -> None:
    groups = grouped({"pattern": ["layers"], "learning_rate_scale": 0.5})
    with pytest.raises(MftError, match="what x builds does not have each trained parameter exactly once"):
        make_optimizer("x", Forgetful(Forgetful.Options()), groups)
    with pytest.raises(MftError, match="different learning rates in one group"):
        make_optimizer("x", Mixing(Mixing.Options()), groups)
