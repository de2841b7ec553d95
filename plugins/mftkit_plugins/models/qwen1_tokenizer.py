"""The tokenizer of Qwen 1: a file of tiktoken ranks, and special tokens numbered after them."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import mftkit
from mftkit import checkpoint_file
from mftkit_plugins.models.tokenizer_files import kept_settings, tokenizer_config

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{number}|>" for number in range(205)))
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen1_tokenizer(path: str) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a checkpoint; None if it has no ``qwen.tiktoken``."""
    from tokenizers import normalizers
    from transformers import TokenizersBackend
    from transformers.convert_slow_tokenizer import TikTokenConverter

    class Converter(TikTokenConverter):
        """transformers' converter, reading the file by itself: the original needs the tiktoken package."""

        load_tiktoken_bpe = staticmethod(_ranks)  # type: ignore[assignment]

        def extract_vocab_merges_from_model(self, file: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
            vocabulary, merges = super().extract_vocab_merges_from_model(file)
            return vocabulary | {token: len(vocabulary) + i for i, token in enumerate(SPECIAL)}, merges

    file = checkpoint_file(path, "qwen.tiktoken")
    if file is None:
        return None
    converter = Converter(file, PATTERN, extra_special_tokens=list(SPECIAL))  # type: ignore[no-untyped-call]
    tokenizer = converter.converted()
    tokenizer.normalizer = normalizers.NFC()
    return TokenizersBackend(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|extra_0|>",
        padding_side="right",
        **kept_settings(tokenizer_config(path), CHATML),
    )


def _ranks(file: Path) -> dict[bytes, int]:
    """Read the file: on each line a token in base64, and its rank."""
    ranks = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[b64decode(token, validate=True)] = int(rank)
        except ValueError as error:
            raise mftkit.MftError(
                f"{file}:{number}: expected a token in base64 and its rank: {error}"
            ) from error
    if not ranks or sorted(ranks.values()) != list(range(len(ranks))):
        raise mftkit.MftError(
            f"{file}: expected the ranks 0, 1, 2 and so on: the file is incomplete; download it again"
        )
    return ranks
