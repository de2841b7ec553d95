"""Sizes of the tiny models that families are tested with; multiples of 64 where 4-bit layers need them on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit import JsonObject

ATTENTION: JsonObject = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED: JsonObject = {**ATTENTION, "num_key_value_heads": 2}
"""With fewer key and value heads than query heads."""
EXPERTS: JsonObject = {**GROUPED, "num_experts_per_tok": 2}
ORIGINAL = "the original code's, on a tiny checkpoint"
"""The reference for the logits of a converted family."""
LINEAR: JsonObject = {
    "head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
}
"""A layer of linear attention, and one of full attention."""
KEEPS_STATE = "keeps state across packed samples"
"""Of families with recurrent or convolutional layers, which read a row from its start."""
WINDOW = {"sliding_window": 4}
"""Shorter than the samples, so that it has an effect."""
