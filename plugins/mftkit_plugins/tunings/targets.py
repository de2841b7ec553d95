"""Which modules an adapter goes into, checked before peft sees them: it ignores a name that matches nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import mftkit
from mftkit import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn
    from transformers import PreTrainedModel

AUTO = "auto"
ALL_LINEAR = "all-linear"
"""peft's own word for every linear module but the head."""


@dataclass(frozen=True)
class LoraTargets:
    """Where adapters go."""

    modules: str | list[str]
    parameters: list[str] = field(default_factory=list)
    """Of modules that are not linear, and of linear ones that peft will not take by their names."""
    notes: list[str] = field(default_factory=list)


def automatic(adapter: mftkit.ModelAdapter, model: PreTrainedModel, plain: bool) -> LoraTargets:
    """The adapter's own targets: linear layers, and experts where peft can.

    peft adapts a stack of experts by changing the parameter, which allows no dropout and no DoRA (``plain``). In
    some families it takes the names of linear layers in dense blocks for those of experts of old: these are then
    adapted as parameters too, or not at all.
    """
    wanted, stacks = adapter.lora_targets(model), adapter.lora_parameters(model)
    if not stacks:
        return LoraTargets(wanted)
    taken = _taken_for_experts(wanted, model)
    modules = [name for name in wanted if name not in taken]
    others = _weights(taken, model)
    whole = [name for name in others if model.get_parameter(name).is_floating_point()]
    left = [] if plain else ["experts", *(["dense and shared feed-forward layers"] if others else [])]
    if plain and len(whole) < len(others):
        left = ["dense and shared feed-forward layers in 4 bits"]
    notes = []
    if left:
        way = "" if plain else ": peft adapts them only where tuning.dropout is 0 (and without DoRA)"
        notes.append(f'tuning.targets "auto" leaves the {" and the ".join(left)} as they are{way}')
    return LoraTargets(modules, [*stacks, *whole] if plain else [], notes)


def _taken_for_experts(targets: list[str], model: PreTrainedModel) -> set[str]:
    """Which names of linear modules peft reads as those of experts, as transformers 4 had them."""
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    tried = LoraConfig(target_modules=list(targets))
    try:
        convert_peft_config_for_transformers(tried, model, conversions=None)
    except (
        ValueError
    ):  # only some of the names that are fused in one parameter: ``gate_proj`` without ``up_proj``
        return set()
    return set(targets) - set(tried.target_modules or ())


def _weights(names: set[str], model: PreTrainedModel) -> list[str]:
    """The weights of the linear modules with these last names."""
    return sorted(f"{name}.weight" for name in _linear(model) if name.rpartition(".")[2] in names)


def check_targets(targets: str | list[str], model: nn.Module) -> None:
    """Every name (a module's whole name, or its end), or the regular expression, matches a module.

    Raises MftError with the names of modules near to it.
    """
    modules = [name for name, _ in model.named_modules() if name]
    if isinstance(targets, str):
        if targets != ALL_LINEAR and not any(_matches(targets, name) for name in modules):
            raise mftkit.MftError(
                f'tuning.targets: the regular expression "{targets}" matches no module of {type(model).__name__} '
                f"in full, as peft takes it; modules are named like {', '.join(_linear(model)[:3])}"
            )
        return
    ends = {end for name in modules for end in _ends(name)}
    missing = [name for name in targets if name not in ends]
    if missing:
        raise mftkit.MftError(
            "tuning.targets: no module of "
            f"{type(model).__name__} is named {'; or '.join(_meant(name, model) for name in missing)}"
        )


def _matches(expression: str, name: str) -> bool:
    try:
        return re.fullmatch(expression, name) is not None
    except re.error as error:
        raise mftkit.MftError(f'tuning.targets: "{expression}" is no regular expression: {error}') from error


def _ends(name: str) -> Iterable[str]:
    """The name, and all that a target may leave out of its beginning."""
    parts = name.split(".")
    return (".".join(parts[i:]) for i in range(len(parts)))


def _meant(name: str, model: nn.Module) -> str:
    linear = _linear(model)
    short = sorted({full.rpartition(".")[2] for full in linear})
    close = nearest(name, [*short, *linear])
    return f'"{name}" ({f"did you mean {close[0]}? " if close else ""}linear modules are {", ".join(short)})'


def _linear(model: nn.Module) -> list[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
