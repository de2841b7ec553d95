"""Steps of the built-in optimizers against loops of torch and transformers, and what the components refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers.optimization import Adafactor as OfTransformers

import mftkit
from mftkit.interfaces.engine import Engine, ProcessGroup
from mftkit_plugins.engines.deepspeed import DeepSpeed

SHAPES: dict[str, tuple[tuple[int, ...], Any]] = {
    "embed": ((30, 8), "embedding"),
    "up": ((16, 8), "inner"),
    "experts": ((2, 16, 8), "inner"),
    "norm": ((8,), "inner"),
}
RATES = (1e-2, 2e-2, 5e-3)


def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator)) for name, (shape, _) in SHAPES.items()
    }


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape, _ in SHAPES.values()]


def component(name: str, **options: Any) -> mftkit.Optimizer:
    return mftkit.build_component(mftkit.Optimizer, name, options)


def stepped(name: str, **options: Any) -> dict[str, nn.Parameter]:
    """The parameters after a few steps of a component, at rates that change."""
    made = parameters()
    members = {key: mftkit.TrainedParameter(key, made[key], role) for key, (_, role) in SHAPES.items()}
    matrices = tuple(member for key, member in members.items() if key != "norm")
    groups = [
        mftkit.ParameterGroup(matrices, RATES[0], 0.1),
        mftkit.ParameterGroup((members["norm"],), RATES[0], 0.0),
    ]
    optimizer = component(name, **options).build(groups)
    engine: Engine[Any] = Engine(Engine.Options())
    engine.processes = ProcessGroup(1, 0, torch.device("cpu"))
    engine.wrap(nn.Module(), optimizer)
    for step, rate in enumerate(RATES):
        for parameter, gradient in zip(made.values(), gradients(step), strict=True):
            parameter.grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = rate
        engine.update(torch.tensor(0.0))
    return made


def plain(*optimizers: tuple[Any, dict[str, Any], tuple[str, ...], float]) -> dict[str, nn.Parameter]:
    """The same with classes of libraries: each with its settings, its parameters and their weight decay."""
    made = parameters()
    built = [
        kind([made[name] for name in names], lr=RATES[0], weight_decay=decay, **settings)
        for kind, settings, names, decay in optimizers
    ]
    for step, rate in enumerate(RATES):
        for parameter, gradient in zip(made.values(), gradients(step), strict=True):
            parameter.grad = gradient
        for optimizer in built:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
    return made


def assert_same(one: dict[str, nn.Parameter], other: dict[str, nn.Parameter]) -> None:
    for name, parameter in one.items():
        assert torch.equal(parameter, other[name]), name


def test_adamw() -> None:
    settings = {"betas": (0.8, 0.9), "eps": 1e-7, "fused": True}
    adamw = torch.optim.AdamW
    expected = plain(
        (adamw, settings, ("embed", "up", "experts"), 0.1),
        (adamw, settings, ("norm",), 0.0),
    )
    assert_same(stepped("adamw", betas=[0.8, 0.9], eps=1e-7), expected)


def test_muon_trains_matrices_and_adamw_the_others() -> None:
    expected = plain(
        (torch.optim.Muon, {"adjust_lr_fn": "match_rms_adamw", "momentum": 0.9}, ("up",), 0.1),
        (torch.optim.AdamW, {"fused": True}, ("embed", "experts"), 0.1),
        (torch.optim.AdamW, {"fused": True}, ("norm",), 0.0),
    )
    assert_same(stepped("muon", momentum=0.9), expected)


@pytest.mark.parametrize(
    ("trained", "note"),
    [
        (tuple(SHAPES), "128 of 632 trained numbers, and AdamW the others (embeddings or head, vectors, stacked experts)"),
        (("up", "norm"), "128 of 136 trained numbers, and AdamW the others (vectors)"),
        (("up",), "all 128 trained numbers"),
        (("norm",), "none of 8 trained numbers, AdamW all of them (vectors)"),
    ],
)  # fmt: skip
def test_muon_says_what_it_updates(trained: tuple[str, ...], note: str) -> None:
    made = parameters()
    members = tuple(mftkit.TrainedParameter(name, made[name], SHAPES[name][1]) for name in trained)
    notes = component("muon").notes([mftkit.ParameterGroup(members, 0.1, 0.0)])
    assert notes == [f"optimizer muon updates {note}"]


@pytest.mark.parametrize("relative", [False, True])
def test_adafactor(relative: bool) -> None:
    settings = {"relative_step": False, "scale_parameter": relative}
    expected = plain(
        (OfTransformers, settings, ("embed", "up", "experts"), 0.1),
        (OfTransformers, settings, ("norm",), 0.0),
    )
    assert_same(stepped("adafactor", relative=relative), expected)


def test_8_bits_are_near_32() -> None:
    found, expected = stepped("adamw-8bit"), stepped("adamw")
    for name, parameter in found.items():
        assert torch.allclose(parameter, expected[name], atol=1e-5), name


def test_paging_needs_a_gpu() -> None:
    with pytest.raises(mftkit.MftError, match="trains on the device cpu, and paged-adamw needs a GPU"):
        component("paged-adamw").check(torch.device("cpu"))
    component("paged-adamw").check(torch.device("cuda"))
    member = mftkit.TrainedParameter("up", parameters()["up"])
    built: Any = component("paged-adamw", bits=8).build([mftkit.ParameterGroup((member,), 0.1, 0.0)])
    assert (built.is_paged, built.args.optim_bits) == (True, 8)


def test_deepspeed_takes_only_the_state_that_it_can_save() -> None:
    engine = DeepSpeed(DeepSpeed.Options())
    engine.check_optimizer(component("adamw"))
    with pytest.raises(mftkit.MftError, match="DeepSpeed shards the state of AdamW alone"):
        engine.check_optimizer(component("muon"))
