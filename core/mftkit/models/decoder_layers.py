"""The layers of a transformer, as its class names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def named_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The model's modules of the classes that transformers keeps on one device, outermost ones alone, in order."""
    classes = set(model._no_split_modules or ())
    found: list[nn.Module] = []
    inner: set[nn.Module] = set()
    for module in model.modules():
        if module not in inner and type(module).__name__ in classes:
            found.append(module)
            inner.update(module.modules())
    return found
