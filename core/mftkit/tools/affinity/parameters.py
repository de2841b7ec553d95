"""Chooses the parameters whose gradients are compared."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

LAST = 2
"""Decoder layers, from the end, for a full model unless another number is given."""
_NUMBERED = re.compile(r"(?P<stack>.+?)\.(?P<number>\d+)\.")


def choose(model: nn.Module, layers: int | None) -> str:
    """Freeze all parameters except those of the last ``layers`` decoder layers; None: freeze none.

    Returns a description of the trained parameters. Raises MftError if the model has no numbered layers.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if layers is None:
        return "all trained parameters"
    numbers = layer_numbers((name, p.numel()) for name, p in trained.items())
    if not numbers:
        raise MftError("--layers: no trained parameter is in a numbered layer; pass --layers all")
    last = sorted(set(numbers.values()))[-layers:]
    for name, parameter in trained.items():
        if numbers.get(name) not in last:
            parameter.requires_grad_(False)
    return f"trained parameters of decoder layers {', '.join(map(str, last))} (--layers all compares all)"


def layer_numbers(sizes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The decoder layer of each parameter that is in one; decoder layers are the stack with the most parameters.

    >>> layer_numbers([("model.layers.0.q.weight", 4), ("model.layers.11.q.weight", 4), ("head.weight", 9)])
    {'model.layers.0.q.weight': 0, 'model.layers.11.q.weight': 11}
    """
    held: Counter[str] = Counter()
    found = {}
    for name, size in sizes:
        if match := _NUMBERED.match(name):
            held[match["stack"]] += size
            found[name] = (match["stack"], int(match["number"]))
    largest = held.most_common(1)
    return {name: number for name, (stack, number) in found.items() if stack == largest[0][0]}
