"""ALiBi on the plain Llama class: linear biases in place of the rotary embedding (arXiv 2108.12409).

The layers of the class are left alone. Position ids of zero make their rotary embedding the identity, and the biases
reach the attention scores through the attention mask: a float mask is added to the scores, which is all that ALiBi
does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypedDict, cast

import torch

import mftkit

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel

KEY, NAME = "position_bias", "alibi"
"""Key and value of a native config whose model needs ALiBi."""
ATTENTIONS = ("sdpa", "eager")
"""Implementations of attention that add a float mask to the scores."""


def is_marked(config: PreTrainedConfig) -> bool:
    """Return True if a native config asks for ALiBi."""
    return getattr(config, KEY, None) == NAME


def attach(model: PreTrainedModel) -> None:
    """Add ALiBi to a Llama model, for training, evaluation and generation with a cache."""
    attention = str(model.config._attn_implementation)
    if attention not in ATTENTIONS:
        raise mftkit.MftError(
            f"model.attention: {attention} cannot add the biases of ALiBi; set {' or '.join(ATTENTIONS)}"
        )
    biases = Biases(int(model.config.num_attention_heads))
    model.model.register_forward_pre_hook(biases, with_kwargs=True)


def slopes(heads: int) -> Tensor:
    """Return [heads] float32: a geometric series.

    If the number of heads is not a power of two, every other term of the next power's series follows, as in the
    paper's code.

    >>> slopes(8)[:2].tolist()
    [0.5, 0.25]
    """
    power = 2 ** math.floor(math.log2(heads))
    series = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-4.0 * (i + 1) / power) for i in range(0, 2 * power, 2)]
    return torch.tensor([*series, *between][:heads])


class Cache(Protocol):
    """What is used of transformers' cache of keys and values."""

    def get_seq_length(self) -> int:
        """Return the number of tokens that it has seen."""

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the number of keys that the next tokens attend to, and their offset."""


class DecoderInputs(TypedDict, total=False):
    """The decoder's arguments by name."""

    input_ids: Tensor | None
    attention_mask: Tensor | None
    position_ids: Tensor | None
    past_key_values: Cache | None
    inputs_embeds: Tensor | None


class Biases:
    """A forward pre-hook of the decoder: sets positions to zero and adds the biases to the mask."""

    def __init__(self, heads: int) -> None:
        self.slopes = slopes(heads)

    def __call__(
        self, decoder: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[()], DecoderInputs]:
        """Return the decoder's arguments, all by name."""
        names = ("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds")
        given = cast("DecoderInputs", {**dict(zip(names, args, strict=False)), **kwargs})
        embeddings, tokens = given.get("inputs_embeds"), given.get("input_ids")
        if tokens is None:
            tokens = cast("Tensor", embeddings)[..., 0]
        dtype = _dtype(decoder) if embeddings is None else embeddings.dtype
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
        cache: Cache | None,
    ) -> Tensor:
        """Return [B or 1, heads, S, K]: slope * (key - query), or the dtype's minimum for a key that is masked.

        Distances are between places in the row: padding on the left shifts all places alike and changes nothing.

        Args:
            shape: B and S of the tokens.
            device: the device of the tokens.
            dtype: dtype of the mask, which must be that of the queries.
            attention_mask: [B, K], 1 for each token; or [B, 1 or heads, S, K], boolean or to be added to; or None.
            position_ids: [B, S]; if there is neither a mask nor a cache, each restart begins a sample.
            cache: the keys of earlier tokens, or None.
        """
        length = shape[-1]
        seen = 0 if cache is None else int(cache.get_seq_length())
        keys = length if cache is None else int(cache.get_mask_sizes(length, 0)[0])
        query = torch.arange(seen, seen + length, device=device).view(1, 1, length, 1)
        key = torch.arange(keys, device=device).view(1, 1, 1, keys)
        allowed = key <= query
        added: Tensor | None = None
        if attention_mask is not None and attention_mask.dim() == 2:
            real = torch.nn.functional.pad(attention_mask.to(device), (0, keys - attention_mask.shape[-1]))
            allowed = allowed & (real != 0).view(len(real), 1, 1, keys)
        elif attention_mask is not None and attention_mask.dtype == torch.bool:
            allowed = allowed & attention_mask
        elif attention_mask is not None:
            added = attention_mask
        elif position_ids is not None and seen == 0 and keys == length:
            # As transformers does for packed rows: a position that does not follow the last one begins a sample.
            sample = (position_ids.diff(dim=-1) != 1).cumsum(-1)
            sample = torch.nn.functional.pad(sample, (1, 0)).unsqueeze(1)
            allowed = allowed & (sample.unsqueeze(-1) == sample.unsqueeze(-2))
        lowest = torch.finfo(dtype).min
        bias = self.slopes.to(device).view(1, -1, 1, 1) * (key - query)
        if added is not None:
            bias = bias + added
        return bias.clamp(min=lowest).to(dtype).masked_fill(~allowed, lowest)


def _dtype(decoder: nn.Module) -> torch.dtype:
    embedding: nn.Embedding = decoder.get_input_embeddings()  # type: ignore[operator]
    return embedding.weight.dtype
