"""Whose gradients are compared."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

LAST = 2
"""Decoder layers, from the end, where whole models are tuned and nothing is asked for."""
_NUMBERED = re.compile(r"(?P<stack>.+?)\.(?P<number>\d+)\.")


def choose(model: nn.Module, layers: int | None) -> str:
    """Leave only the trained parameters of the last ``layers`` decoder layers to be trained; None: all.

    Returns what was chosen, in words. Raises MftError where the model has no such layers.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if layers is None:
        return "all trained parameters"
    numbers = layer_numbers((name, p.numel()) for name, p in trained.items())
    if not numbers:
        raise MftError("--layers: no trained parameter is in a numbered layer; use --layers all")
    last = sorted(set(numbers.values()))[-layers:]
    for name, parameter in trained.items():
        if numbers.get(name) not in last:
            parameter.requires_grad_(False)
    return f"trained parameters of decoder layers {', '.join(map(str, last))} (--layers all for all)"


def layer_numbers(sizes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The decoder layer of each parameter that is in one: the stack of layers that holds most numbers.

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
