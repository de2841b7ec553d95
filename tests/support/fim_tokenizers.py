"""Small tokenizers with the fill-in-the-middle tokens of each family."""

from __future__ import annotations

from typing import Any

from data_path import TEXTS, legacy_llama
from mftkit.data.tokens.train_tokenizer import train_bpe

FAMILIES = {
    "starcoder2": ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"),
    "granite3": ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "</s>"),
    "qwen-coder": ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"),
    "codegemma": ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>"),
    "deepseek-coder": ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<｜end▁of▁sentence｜>"),
    "santacoder": ("<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<|endoftext|>"),
    "codellama": ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"),
}
"""Prefix, suffix, middle, and what ends a middle ("</s>": the tokenizer's own end of text)."""


def fim_tokenizer(family: str, *, adds_bos: bool = False) -> Any:
    """A tokenizer with the tokens of a family: byte-level BPE, for CodeLlama a BPE in the manner of Llama 2."""
    from tokenizers import processors

    tokens = [token for token in FAMILIES[family] if token != "</s>"]
    made: Any = legacy_llama("") if family == "codellama" else train_bpe(TEXTS, 400)
    if family == "qwen-coder":  # these are no special tokens there
        made.add_tokens(tokens[:3])
        tokens = tokens[3:]
    made.add_special_tokens({"additional_special_tokens": tokens})
    if adds_bos:
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", made.bos_token_id)]
        )
    return made
