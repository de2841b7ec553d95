"""Sizes of the tiny models that families are tried on; multiples of 64 where 4-bit layers need it on a CPU."""

from __future__ import annotations

from typing import Any

ATTENTION: dict[str, Any] = {
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
GROUPED: dict[str, Any] = {**ATTENTION, "num_key_value_heads": 2}
"""With fewer heads of keys and values than of queries."""
EXPERTS: dict[str, Any] = {**GROUPED, "num_experts_per_tok": 2}
ORIGINAL = "the original code's, on a tiny checkpoint"
"""What the logits of a converted family are compared with."""
WINDOW = {"sliding_window": 4}
"""Shorter than the samples, so that it shows."""
