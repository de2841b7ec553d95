"""ALiBi on the plain Llama class: linear biases in place of the rotary embedding (arXiv 2108.12409).

Position ids of zero make the rotary embedding the identity; the mask that the layers get carries the biases.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

import mftkit

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel

KEY, NAME = "position_bias", "alibi"
"""What a native config says where the model needs it."""
ATTENTIONS = ("sdpa", "eager")
"""Those that add a mask of numbers."""


def is_marked(config: PreTrainedConfig) -> bool:
    """Whether a native config asks for ALiBi."""
    return getattr(config, KEY, None) == NAME


def attach(model: PreTrainedModel) -> None:
    """Give a Llama model ALiBi, in training, evaluation and generation with a cache."""
    attention = str(model.config._attn_implementation)
    if attention not in ATTENTIONS:
        raise mftkit.MftError(
            f"model.attention: {attention} has no place for ALiBi's biases; use {' or '.join(ATTENTIONS)}"
        )
    biases = Biases(int(model.config.num_attention_heads))
    model.model.register_forward_pre_hook(biases, with_kwargs=True)


def slopes(heads: int) -> Tensor:
    """[heads] float32: a geometric series; where the number is no power of two, every other of the next follows.

    >>> slopes(8)[:2].tolist()
    [0.5, 0.25]
    """
    power = 2 ** math.floor(math.log2(heads))
    series = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-4.0 * (i + 1) / power) for i in range(0, 2 * power, 2)]
    return torch.tensor([*series, *between][:heads])


class Biases:
    """A forward pre-hook of the decoder: positions become zero, and the mask what ALiBi makes of it."""

    def __init__(self, heads: int) -> None:
        self.slopes = slopes(heads)

    def __call__(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments as the decoder takes them by name: input_ids, attention_mask, position_ids, cache."""
        names = ("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        tokens = given.get("input_ids")
        tokens = given["inputs_embeds"][..., 0] if tokens is None else tokens
        dtype = given["inputs_embeds"].dtype if given.get("inputs_embeds") is not None else _dtype(decoder)
        given["attention_mask"] = self.mask(
            tokens.shape,
            tokens.device,
            dtype,
            given.get("attention_mask"),
            given.get("position_ids"),
            given.get("past_key_values"),
        )
        given["position_ids"] = torch.zeros_like(tokens, dtype=torch.long)
        return (), given

    def mask(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: Any,
    ) -> Tensor:
        """[B or 1, heads, S, K]: slope * (key - query), and the dtype's minimum where a key is not seen.

        Distances are those of places in the row, so that padding on the left changes nothing.

        Args:
            shape: B, S of the tokens.
            device: theirs.
            dtype: of the mask.
            attention_mask: [B, K] 1 where there is a token, or None; [B, 1 or heads, S, K] is added to.
            position_ids: [B, S]; where there is neither mask nor cache, each restart begins a sample.
            cache: of keys already seen, or None.
        """
        length = shape[-1]
        seen = 0 if cache is None else int(cache.get_seq_length())
        keys = length if cache is None else int(cache.get_mask_sizes(length, 0)[0])
        query = torch.arange(seen, seen + length, device=device).view(1, 1, length, 1)
        key = torch.arange(keys, device=device).view(1, 1, 1, keys)
        allowed = key <= query
        extra: Tensor | None = None
        if attention_mask is not None and attention_mask.dim() == 2:
            held = torch.nn.functional.pad(attention_mask.to(device), (0, keys - attention_mask.shape[-1]))
            allowed = allowed & (held != 0).view(len(held), 1, 1, keys)
        elif attention_mask is not None and attention_mask.dtype == torch.bool:
            allowed = allowed & attention_mask
        elif attention_mask is not None:
            extra = attention_mask
        elif position_ids is not None and seen == 0 and keys == length:
            sample = (position_ids.diff(dim=-1) != 1).cumsum(-1)
            sample = torch.nn.functional.pad(sample, (1, 0)).unsqueeze(1)
            allowed = allowed & (sample.unsqueeze(-1) == sample.unsqueeze(-2))
        lowest = torch.finfo(dtype).min
        bias = self.slopes.to(device).view(1, -1, 1, 1) * (key - query)
        if extra is not None:
            bias = bias + extra
        return bias.clamp(min=lowest).to(dtype).masked_fill(~allowed, lowest)


def _dtype(decoder: nn.Module) -> torch.dtype:
    embedding: Any = decoder.get_input_embeddings()  # type: ignore[operator]
    found: torch.dtype = embedding.weight.dtype
    return found
