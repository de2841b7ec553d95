"""A tiny model of random weights that can be talked to, on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_path import CHATML, tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def tiny_chat_model(directory: Path, template: str | None = CHATML, window: int = 256) -> Path:
    """A Llama with a tokenizer, and a chat template unless it is None."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    made = tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(made),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        eos_token_id=made.eos_token_id,
        bos_token_id=made.bos_token_id,
        pad_token_id=made.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = LlamaForCausalLM(config)
    model.save_pretrained(directory)
    made.save_pretrained(directory)
    return directory
