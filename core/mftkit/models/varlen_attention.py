"""The attention "varlen": packed samples lie one after another in one row, and each attends to itself, without a mask.

On CUDA it is torch's own kernel for sequences of different lengths (flash attention, part of torch); on a CPU, one
product for each sequence. A mask of the whole row, which sdpa needs, costs memory and products of [S, S].
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from mftkit.interfaces.model import VARLEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedConfig

LARGEST_HEAD = 256
"""Channels of a head: the kernel takes no more."""
WITHOUT_MASKS = "varlen_without_masks"
"""The name of the same attention for which transformers makes no masks."""
UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""Arguments by which transformers asks for scores that the kernel does not compute."""


def register() -> None:
    """Make it known to transformers; a second call does nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(VARLEN, varlen_attention)
    AttentionInterface.register(WITHOUT_MASKS, varlen_attention)
    AttentionMaskInterface.register(VARLEN, _mask)


@contextmanager
def without_masks(config: PreTrainedConfig) -> Iterator[None]:
    """Keep a model under this attention from making masks, for a forward pass with the borders of its sequences.

    ``_mask`` makes none either, but to call it transformers looks for sequences in the positions, and the host waits
    for the device there. Layers that are recomputed later find the usual name, which computes the same.
    """
    config._attn_implementation = WITHOUT_MASKS
    try:
        yield
    finally:
        config._attn_implementation = VARLEN


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Causal attention, called by a decoder layer of transformers.

    Args:
        module: the layer's attention.
        query: [B, heads, S, D].
        key: [B, key heads, S, D].
        value: [B, key heads, S, D of values].
        attention_mask: made for padding or a cache, whose keys are more than the queries: sdpa computes both. Never
            with ``cu_seq_lens_q``: a mask that the model makes by itself may say more than where sequences begin.
        dropout: of the attention's weights; only on a CPU.
        scaling: of the scores; None: 1 / sqrt(D).
        sliding_window: how many tokens each sees, itself included; None: all before it.
        cu_seq_lens_q: [n + 1] int32, where the sequences of the only row begin, and its end; None: each row is one.
        max_length_q: the tokens of the longest sequence.
        options: what else transformers passes; any of ``UNSUPPORTED`` raises ValueError.

    Returns:
        [B, S, heads, D of values] and None.

    Raises:
        ValueError: it cannot compute what the layer asks for.
    """
    asked = [name for name in UNSUPPORTED if options.get(name) is not None]
    if asked or not (getattr(module, "is_causal", True) and options.get("is_causal", True) is not False):
        raise ValueError(f"attention {VARLEN} cannot compute {' and '.join(asked) or 'what is not causal'}")
    if attention_mask is not None and cu_seq_lens_q is not None:
        raise ValueError(f"attention {VARLEN} cannot compute with the model's own mask")
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling=scaling, **options
        )
    if cu_seq_lens_q is None or max_length_q is None:
        lengths = [query.shape[2]]
    elif query.device.type == "cuda":
        borders = (cu_seq_lens_q, max_length_q)
        return _kernel(query, key, value, *borders, dropout, scaling, sliding_window), None
    else:
        lengths = cu_seq_lens_q.diff().tolist()
    return _each(query, key, value, lengths, dropout, scaling, sliding_window), None


def _each(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: list[int],
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """One product for each sequence of these lengths."""
    grouped = query.shape[1] != key.shape[1]
    # Not slices: the gradient of each would be a tensor of the whole row.
    parts = (torch.split(each, lengths, dim=2) for each in (query, key, value))
    results = []
    for q, k, v in zip(*parts, strict=True):
        band = _band(q, window)
        results.append(
            functional.scaled_dot_product_attention(
                q, k, v, band, dropout, is_causal=band is None, scale=scaling, enable_gqa=grouped
            )
        )
    return torch.cat(results, 2).transpose(1, 2)


def _band(query: Tensor, window: int | None) -> Tensor | None:
    """[S, S] bool: which tokens each sees in a sliding window; None if the window holds the whole sequence."""
    length = query.shape[2]
    if window is None or length <= window:
        return None
    seen = torch.ones(length, length, dtype=torch.bool, device=query.device)
    return seen.tril_().triu_(1 - window)


def _kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    longest: int,
    dropout: float,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """All sequences in one call of torch's kernel, which lacks dropout, float32 and heads of two sizes."""
    from torch.nn.attention.varlen import varlen_attn

    if dropout:
        raise ValueError(f"attention {VARLEN} has no dropout on CUDA")
    if query.dtype == torch.float32 and torch.is_autocast_enabled("cuda"):
        # Norms of queries and keys leave float32.
        half = torch.get_autocast_dtype("cuda")
        query, key, value = (each.to(half) for each in (query, key, value))
    if query.dtype not in (torch.bfloat16, torch.float16) or query.shape[-1] > LARGEST_HEAD:
        raise ValueError(
            f"attention {VARLEN} needs bfloat16 or float16 on CUDA and heads of at most {LARGEST_HEAD} channels; "
            f"these have {query.shape[-1]} of {str(query.dtype).removeprefix('torch.')}"
        )
    width = value.shape[-1]
    if width < query.shape[-1]:
        value = functional.pad(value, (0, query.shape[-1] - width))
    q, k, v = (each.transpose(1, 2).squeeze(0) for each in (query, key, value))
    result = varlen_attn(
        q,
        k,
        v,
        starts,
        starts,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),  # tokens before each, and after
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(result, torch.Tensor), "the kernel returns a pair only if it is asked to"
    return result[..., :width].unsqueeze(0)


def _mask(**options: Any) -> Tensor | None:
    """Transformers' mask for one forward pass: none without padding and cache, where each sequence is causal."""
    if options.get("attention_mask") is None and options["q_length"] == options["kv_length"]:
        return None
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(**options)
