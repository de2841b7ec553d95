"""The optimizer of a run, and the groups of parameters that it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.distributed.tensor import DTensor

from mftkit.interfaces.optimizer import ParameterGroup, TrainedParameter
from mftkit.plugins import installed, kinds
from mftkit.plugins.ownership import plugin_suffix
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.engine import Engine
    from mftkit.interfaces.optimizer import Optimizer, Role
    from mftkit.interfaces.tuning import Tuning
    from mftkit.spec import TrainingSpec
    from mftkit.spec.parameter_groups import ParameterGroupSpec

SCALE = "learning_rate_scale"
"""Key of torch's groups: the factor of the run's learning rate, where it is not 1."""


def build_optimizer(training: TrainingSpec, engine: Engine, tuning: Tuning) -> Optimizer:
    """The component that a spec names.

    Raises:
        MftError: it cannot work on the run's device, or on what a process holds with the engine.
    """
    name = training.optimizer.name
    optimizer = installed.build(kinds.OPTIMIZER, name, training.optimizer.options)
    optimizer.check(engine.processes.device)
    check_engine(name, optimizer, engine, engine.processes.count, frozen_base=tuning.freezes_base)
    return optimizer


def check_engine(name: str, optimizer: Optimizer, engine: Engine, devices: int, *, frozen_base: bool) -> None:
    """Raise MftError if the engine divides parameters that the optimizer needs whole, or cannot use it."""
    sharding = engine.sharding(devices, frozen_base=frozen_base)
    if optimizer.elementwise_state is None and max(sharding.trained, sharding.optimizer) > 1:
        raise _needs_whole(name, engine.name)
    engine.check_optimizer(optimizer)


def _needs_whole(name: str, engine: str) -> MftError:
    others = installed.those_that(kinds.OPTIMIZER, "elementwise_state")
    return MftError(
        f"training.optimizer: {name} needs each parameter whole, and the engine {engine} divides what is trained over "
        f"processes. Set training.optimizer to one that can update parts ({others}), or set an engine that keeps "
        "trained weights whole in each process."
    )


def trained_parameters(model: nn.Module, base: PreTrainedModel) -> list[TrainedParameter]:
    """The trained parameters of a tuned model, with their parts in the base model inside it."""
    roles: dict[int, Role] = {}
    parts: tuple[tuple[Role, nn.Module | None], ...] = (
        ("head", base.get_output_embeddings()),  # type: ignore[no-untyped-call]
        ("embedding", base.get_input_embeddings()),
    )
    for role, module in parts:
        roles |= {id(parameter): role for parameter in (module.parameters() if module is not None else ())}
    return [
        TrainedParameter(name, parameter, roles.get(id(parameter), "inner"))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]


def group_parameters(trained: Sequence[TrainedParameter], training: TrainingSpec) -> list[ParameterGroup]:
    """Groups of the trained parameters: matrices and vectors that no group of the spec names, then the spec's groups.

    Vectors (norms, biases) get no weight decay, except where a group of the spec gives one.

    Raises:
        MftError: a group of the spec names no trained parameter.
    """
    given = training.parameter_groups
    names = [member.name for member in trained]
    for index, group in enumerate(given):
        for pattern in group.unmatched(names):
            raise _no_match(index, pattern, names)
    chosen = [next((i for i, group in enumerate(given) if group.matches(name)), len(given)) for name in names]
    groups = _divided(trained, chosen, len(given), None, training)
    for index, group in enumerate(given):
        if index not in chosen:
            raise MftError(
                f"training.parameter_groups.{index}: earlier groups name all of its parameters; remove it, or move it "
                "up"
            )
        groups += _divided(trained, chosen, index, group, training)
    return groups


def _divided(
    trained: Sequence[TrainedParameter],
    chosen: list[int],
    index: int,
    group: ParameterGroupSpec | None,
    training: TrainingSpec,
) -> list[ParameterGroup]:
    """The members of a group by their weight decay: matrices, then vectors."""
    members = [member for member, at in zip(trained, chosen, strict=True) if at == index]
    scale = 1.0 if group is None else group.learning_rate_scale
    if group is not None and group.weight_decay is not None:
        parts = [(members, group.weight_decay)]
    else:
        matrices = [member for member in members if member.tensor.ndim >= 2]
        vectors = [member for member in members if member.tensor.ndim < 2]
        parts = [(matrices, training.weight_decay), (vectors, 0.0)]
    rate = training.peak_learning_rate * scale
    return [ParameterGroup(tuple(part), rate, decay, scale) for part, decay in parts if part]


def _no_match(index: int, pattern: str, names: list[str]) -> MftError:
    parts = {part for name in names for part in name.split(".") if not part.isdigit()}
    close = nearest(pattern, sorted({*parts, *names}))
    near = f"did you mean {close[0]}? " if close else ""
    return MftError(
        f'training.parameter_groups.{index}.pattern: "{pattern}" matches no trained parameter ({near}their names look '
        f"like {', '.join(names[:3])})"
    )


def make_optimizer(
    name: str, component: Optimizer, groups: Sequence[ParameterGroup], engine: str = ""
) -> torch.optim.Optimizer:
    """The optimizer that the component ``name`` makes of the groups, checked.

    Raises:
        MftError: parameters are divided over processes by ``engine`` that the component needs whole, or the component
            does not use the groups as it should.
    """
    divided = any(isinstance(member.tensor, DTensor) for group in groups for member in group.members)
    if divided and component.elementwise_state is None:
        raise _needs_whole(name, engine)
    optimizer = component.build(groups)
    scales = {id(member.tensor): group.learning_rate_scale for group in groups for member in group.members}
    seen = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    if sorted(seen) != sorted(scales):
        raise _wrong(name, component, "does not have each trained parameter exactly once")
    for group in optimizer.param_groups:
        found = {scales[id(parameter)] for parameter in group["params"]}
        if len(found) > 1:
            raise _wrong(name, component, "puts parameters with different learning rates in one group")
        if found and found != {1.0}:
            group[SCALE] = found.pop()
    return optimizer


def _wrong(name: str, component: Optimizer, what: str) -> MftError:
    return MftError(
        f"training.optimizer: what {name} builds {what}. Fix the plugin{plugin_suffix(component)}."
    )


def describe_groups(training: TrainingSpec, groups: Iterable[ParameterGroup]) -> list[str]:
    """For the plan: what each group with another learning rate or weight decay than the run's holds."""
    if not training.parameter_groups:
        return []
    return [
        f"parameter group: {_count(len(group.members))}, such as {group.members[0].name}, at "
        f"{group.learning_rate_scale:g} times the learning rate, weight decay {group.weight_decay:g}"
        for group in groups
    ]


def _count(number: int) -> str:
    return "1 parameter" if number == 1 else f"{number} parameters"
