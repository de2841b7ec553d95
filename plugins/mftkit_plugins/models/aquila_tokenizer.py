"""The tokenizer of Aquila 2: byte-level BPE, under a model type that transformers' automatic choice rejects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit import checkpoint_file
from mftkit_plugins.models.tokenizer_files import token_text, tokenizer_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURNS = ("<|startofpiece|>", "<|endofpiece|>")
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}<|startofpiece|>{{ message['content'] }}<|endofpiece|>"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
)
"""The format of AquilaChat 2."""


def aquila_tokenizer(path: str) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer from ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``; None if there is neither."""
    from transformers import AddedToken, GPT2Tokenizer, TokenizersBackend

    one_file = checkpoint_file(path, "tokenizer.json")
    parts = [checkpoint_file(path, name) for name in ("vocab.json", "merges.txt")]
    if one_file is None and None in parts:
        return None
    reader = GPT2Tokenizer if one_file is None else TokenizersBackend
    tokenizer: PreTrainedTokenizerBase = reader.from_pretrained(path)
    settings = tokenizer_config(path)
    for key in ("bos_token", "eos_token", "unk_token", "pad_token"):
        if text := token_text(settings.get(key)):
            setattr(tokenizer, key, text)
    vocabulary = tokenizer.get_vocab()
    if not tokenizer.chat_template and all(turn in vocabulary for turn in TURNS):
        tokenizer.add_special_tokens(
            {
                "additional_special_tokens": [
                    AddedToken(turn, normalized=False, special=True) for turn in TURNS
                ]
            }
        )
        tokenizer.chat_template = TEMPLATE
    return tokenizer
