"""Which modules an adapter goes into, checked before peft sees them: it ignores a name that matches nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import mftkit
from mftkit_registry import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

AUTO = "auto"
ALL_LINEAR = "all-linear"
"""peft's own word for every linear module but the head."""


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
