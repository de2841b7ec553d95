"""Tiny vocabularies of the three kinds that chat models have, trained on the spot, always the same."""

from __future__ import annotations

import json
import string
from functools import cache
from typing import Literal

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

Kind = Literal["bytes", "llama2", "gemma"]
"""Byte-level BPE; sentencepiece's BPE with byte fallback and a space before each text; the same without the space."""

TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "What is the weather in Oslo? It is cold there.\n\nHow are you? I am fine.",
    'user assistant system model tool {"name": "weather", "arguments": {"city": "Oslo"}}\n',
    "You are a helpful assistant. Answer in full sentences: yes, no, four.  Think <think> ok </think>",
] * 5


@cache
def backend(kind: Kind) -> str:
    """Return the JSON of a tokenizer without added tokens, but for the control tokens of sentencepiece."""
    return (_byte_level() if kind == "bytes" else _sentencepiece(kind)).to_str()


def _byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    return made


def _sentencepiece(kind: Kind) -> Tokenizer:
    controls = ["<unk>", "<s>", "</s>"] if kind == "llama2" else ["<pad>", "<eos>", "<bos>", "<unk>"]
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    spaces = normalizers.Replace(" ", "▁")
    prefixed = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
    made.normalizer = prefixed if kind == "llama2" else spaces
    if kind == "gemma":
        made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    pieces = [*controls, *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = ["▁", *string.ascii_letters, *string.digits, *".,?!:'\"()[]{}<>/|_-+=#"]
    made.train_from_iterator(
        [word for text in TEXTS for word in text.split()],
        trainers.BpeTrainer(
            vocab_size=620, special_tokens=pieces, initial_alphabet=letters, show_progress=False
        ),
    )
    state = json.loads(made.to_str())
    state["added_tokens"] = [
        token for token in state["added_tokens"] if not token["content"].startswith("<0x")
    ]
    made = Tokenizer.from_str(json.dumps(state))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if kind == "llama2" else [])])
    return made
