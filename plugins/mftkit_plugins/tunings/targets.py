"""The modules that get an adapter, checked before peft sees them: peft ignores names that match nothing."""

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
"""peft's own keyword for every linear module except the head."""


@dataclass(frozen=True)
class LoraTargets:
    """What gets an adapter."""

    modules: str | list[str]
    """Names of linear modules or their ends, or a regular expression."""
    parameters: list[str] = field(default_factory=list)
    """Parameters of modules that are not linear, and of linear modules that peft does not accept by name."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the plan: what gets no adapter."""


def automatic(
    adapter: mftkit.ModelAdapter, model: PreTrainedModel, can_adapt_parameters: bool
) -> LoraTargets:
    """Return the model adapter's own targets: linear layers, and experts if peft can adapt them.

    peft adapts a stack of experts by changing the parameter, which allows neither dropout nor DoRA
    (``can_adapt_parameters``). In some families it mistakes the names of linear layers in dense blocks for those of
    experts in transformers 4: these layers are then adapted as parameters too, or not at all.
    """
    names, stacks = adapter.lora_targets(model), adapter.lora_parameters(model)
    if not stacks:
        return LoraTargets(names)
    mistaken = _mistaken_for_experts(names, model)
    modules = [name for name in names if name not in mistaken]
    dense = _weights(mistaken, model)
    unpacked = [name for name in dense if model.get_parameter(name).is_floating_point()]
    if not can_adapt_parameters:
        skipped = ["experts", *(["dense and shared feed-forward layers"] if dense else [])]
        hint = ": peft adapts them only if tuning.dropout is 0 (and without DoRA)"
        return LoraTargets(modules, [], [_skip_note(skipped) + hint])
    skipped = ["dense and shared feed-forward layers in 4 bits"] if len(unpacked) < len(dense) else []
    return LoraTargets(modules, [*stacks, *unpacked], [_skip_note(skipped)] if skipped else [])


def _skip_note(skipped: list[str]) -> str:
    return f'tuning.targets "auto" does not adapt the {" and the ".join(skipped)}'


def _mistaken_for_experts(targets: list[str], model: PreTrainedModel) -> set[str]:
    """Return the names of linear modules that peft mistakes for those of experts in transformers 4."""
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    probe = LoraConfig(target_modules=list(targets))
    try:
        convert_peft_config_for_transformers(probe, model, conversions=None)
    except ValueError:  # only some of the names that are fused in one parameter: gate_proj without up_proj
        return set()
    return set(targets) - set(probe.target_modules or ())


def _weights(names: set[str], model: PreTrainedModel) -> list[str]:
    """Return the names of the weights of the linear modules with these last names."""
    return sorted(f"{name}.weight" for name in _linear(model) if name.rpartition(".")[2] in names)


def check_targets(targets: str | list[str], model: nn.Module) -> None:
    """Raise MftError unless every name (or end of a name), or the regular expression, matches a module.

    The message suggests similar names.
    """
    modules = [name for name, _ in model.named_modules() if name]
    if isinstance(targets, str):
        if targets != ALL_LINEAR and not any(_matches(targets, name) for name in modules):
            raise mftkit.MftError(
                f'tuning.targets: the regular expression "{targets}" matches the full name of no module of '
                f"{type(model).__name__}, as peft requires; module names look like {', '.join(_linear(model)[:3])}"
            )
        return
    ends = {end for name in modules for end in _ends(name)}
    missing = [name for name in targets if name not in ends]
    if missing:
        raise mftkit.MftError(
            "tuning.targets: no module of "
            f"{type(model).__name__} is named {'; or '.join(_with_suggestion(name, model) for name in missing)}"
        )


def check_whole_modules(given: mftkit.JsonObject, model: PreTrainedModel) -> None:
    """Raise MftError for modules to train entirely, and rows of an embedding to train, that the model does not have.

    peft ignores some of them, and others fail in the first step.

    Args:
        given: fields of peft's LoraConfig.
        model: the model that gets the adapters.
    """
    modules = dict(model.named_modules())
    ends = {end for name in modules if name for end in _ends(name)}
    rows = given.get("trainable_token_indices") or {}
    of_module = rows if isinstance(rows, dict) else {_embedding_name(model): rows}
    named = {
        "modules_to_save": given.get("modules_to_save") or [],
        "trainable_token_indices": list(of_module),
    }
    for field_name, names in named.items():
        missing = [name for name in names if name not in ends]
        if missing:
            near = [f'"{name}"' + _did_you_mean(name, ends) for name in missing]
            raise mftkit.MftError(
                f"tuning.lora.{field_name}: no module of {type(model).__name__} is named {'; or '.join(near)}"
            )
    for name, indices in of_module.items():
        for full, module in modules.items():
            size = getattr(module, "weight", None)
            if name not in _ends(full) or size is None:
                continue
            beyond = [index for index in indices if not 0 <= index < len(size)]
            if beyond:
                raise mftkit.MftError(
                    f"tuning.lora.trainable_token_indices: {beyond[0]} is not a row of {full} "
                    f"(rows 0 to {len(size) - 1})"
                )


def _embedding_name(model: PreTrainedModel) -> str:
    embedding: nn.Module = model.get_input_embeddings()
    return next((name for name, module in model.named_modules() if module is embedding), "embed_tokens")


def _did_you_mean(name: str, ends: Iterable[str]) -> str:
    close = nearest(name, sorted(ends))
    return f" (did you mean {close[0]}?)" if close else ""


def _matches(expression: str, name: str) -> bool:
    try:
        return re.fullmatch(expression, name) is not None
    except re.error as error:
        raise mftkit.MftError(
            f'tuning.targets: "{expression}" is not a valid regular expression: {error}'
        ) from error


def _ends(name: str) -> Iterable[str]:
    """Yield the name and its ends: a target may omit leading parts."""
    parts = name.split(".")
    return (".".join(parts[i:]) for i in range(len(parts)))


def _with_suggestion(name: str, model: nn.Module) -> str:
    linear = _linear(model)
    short = sorted({full.rpartition(".")[2] for full in linear})
    close = nearest(name, [*short, *linear])
    return f'"{name}" ({f"did you mean {close[0]}? " if close else ""}linear modules are {", ".join(short)})'


def _linear(model: nn.Module) -> list[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
