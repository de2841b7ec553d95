"""Conditions under which a model is tried for a moment; each puts everything back as it was."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mftkit.models.native import attention_of, decoder
from mftkit.models.vocabulary import embedding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedModel

WINDOW = 3
"""The sliding window while samples are tried together: shorter than they are, so that it has an effect."""


def stop_training(model: nn.Module) -> nn.Module:
    """Put the model in evaluation mode, but bitsandbytes' layers in training mode; returns it.

    In evaluation mode those repack their weights on some CPUs, and fail where the sizes do not fit.
    """
    for module in model.modules():
        module.training = type(module).__module__.startswith("bitsandbytes")
    return model


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """``stop_training`` for a while; every module's own mode again afterwards."""
    modes = {module: module.training for module in model.modules()}
    stop_training(model)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def enlarged(model: PreTrainedModel, factor: float) -> Iterator[None]:
    """The decoder's hidden states times ``factor``, for whoever calls it."""

    def enlarge(_module: nn.Module, _arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state * factor
        return output

    handle = decoder(model).register_forward_hook(enlarge)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def short_window(model: PreTrainedModel) -> Iterator[None]:
    """A sliding window of ``WINDOW`` tokens, where the model has a longer one."""
    config = model.config.get_text_config()
    kept = {key: getattr(config, key, None) for key in ("sliding_window", "attention_chunk_size")}
    present = {key: value for key, value in kept.items() if isinstance(value, int) and value > WINDOW}
    for key in present:
        setattr(config, key, WINDOW)
    try:
        yield
    finally:
        for key, value in present.items():
            setattr(config, key, value)


@contextmanager
def without_flash(model: PreTrainedModel) -> Iterator[None]:
    """Eager attention in place of flash attention."""
    config = model.config.get_text_config()
    kept = attention_of(model)
    if kept.startswith("flash"):
        config._attn_implementation = "eager"
    try:
        yield
    finally:
        if kept.startswith("flash"):
            config._attn_implementation = kept


@contextmanager
def half_precision(model: PreTrainedModel, enabled: bool) -> Iterator[None]:
    """Products in bfloat16, as float32 weights are trained under flash attention, which has no float32."""
    weight = embedding(model).weight
    wanted = enabled and weight.dtype == torch.float32
    with torch.autocast(weight.device.type, dtype=torch.bfloat16, enabled=wanted):
        yield
