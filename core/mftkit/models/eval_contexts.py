"""Temporary conditions under which a model is tried; each context restores the model afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from mftkit.models.native import attention_of, decoder
from mftkit.models.vocabulary import embedding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.models.native import DecoderOutputs

WINDOW = 3
"""The sliding window while isolation is checked: shorter than the samples, so that it has an effect."""


def stop_training(model: nn.Module) -> nn.Module:
    """Put the model in evaluation mode, except layers of bitsandbytes, which stay in training mode; return it.

    In evaluation mode 4-bit layers repack their weights for a fast CPU kernel on some CPUs, in place and for good, and
    fail if the sizes do not suit that kernel. Their forward pass has no dropout, so the mode changes nothing else.
    """
    for module in model.modules():
        module.training = type(module).__module__.startswith("bitsandbytes")
    return model


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Apply ``stop_training``, and restore each module's own mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    stop_training(model)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def enlarged(model: PreTrainedModel, factor: float) -> Iterator[None]:
    """Multiply the decoder's hidden states by ``factor``, for every caller of the decoder."""

    def enlarge(_module: nn.Module, _arguments: object, outputs: DecoderOutputs) -> DecoderOutputs:
        outputs.last_hidden_state = outputs.last_hidden_state * factor
        return outputs

    handle = decoder(model).register_forward_hook(enlarge)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def kept_embedding(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """The output of the embedding in each forward pass within it, as a tensor at which gradients end."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _arguments: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    handle = embedding(model).register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


@contextmanager
def short_window(model: PreTrainedModel) -> Iterator[None]:
    """Set a sliding window of ``WINDOW`` tokens if the model has a longer one."""
    config = model.config.get_text_config()
    own = {key: getattr(config, key, None) for key in ("sliding_window", "attention_chunk_size")}
    longer = {key: value for key, value in own.items() if isinstance(value, int) and value > WINDOW}
    for key in longer:
        setattr(config, key, WINDOW)
    try:
        yield
    finally:
        for key, value in longer.items():
            setattr(config, key, value)


@contextmanager
def without_flash(model: PreTrainedModel) -> Iterator[None]:
    """Use eager attention in place of flash attention."""
    config = model.config.get_text_config()
    own = attention_of(model)
    if own.startswith("flash"):
        config._attn_implementation = "eager"
    try:
        yield
    finally:
        if own.startswith("flash"):
            config._attn_implementation = own


@contextmanager
def half_precision(model: PreTrainedModel, enabled: bool) -> Iterator[None]:
    """Compute products in bfloat16, as float32 weights are trained under flash attention, which lacks float32."""
    weight = embedding(model).weight
    active = enabled and weight.dtype == torch.float32
    with torch.autocast(weight.device.type, dtype=torch.bfloat16, enabled=active):
        yield
