"""The tokens that mark prefix, suffix and middle: each family has its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import mftkit

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 12
"""Tokens of a vocabulary that a message lists."""
_LOOKS_LIKE_ONE = re.compile(r"fim|prefix|suffix|middle|infill|hole|<pre>|<suf>|<mid>|<eot>", re.IGNORECASE)


class Sentinels(NamedTuple):
    """The tokens of one family."""

    family: str
    prefix: str
    suffix: str
    middle: str
    """Token before the middle; "": the middle follows the prefix."""
    ends: tuple[str, ...] = ()
    """What may end a middle: the first that the vocabulary has, otherwise the token that ends a text."""
    suffix_first: bool = False
    """Whether every prompt is <suffix> suffix <prefix> prefix <middle>."""
    spaced: bool = False
    """Whether the prefix is encoded as the start of a text, with the space that SentencePiece puts before one."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The tokens before prefix, suffix and middle."""
        return tuple(text for text in (self.prefix, self.suffix, self.middle) if text)

    def end(self, vocabulary: Collection[str], eos: str) -> str:
        """Return the token that ends a middle."""
        return next((end for end in self.ends if end in vocabulary), eos)


FAMILIES = (
    Sentinels("StarCoder, Granite", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", ("<|endoftext|>",)),
    Sentinels(
        "Qwen Coder, CodeGemma, Granite 4",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|file_separator|>", "<|endoftext|>"),
    ),
    Sentinels("CodeLlama", "▁<PRE>", "▁<SUF>", "▁<MID>", ("▁<EOT>",), spaced=True),
    Sentinels(
        "DeepSeek-Coder",
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
        ("<｜end▁of▁sentence｜>",),
    ),
    Sentinels("SantaCoder", "<fim-prefix>", "<fim-suffix>", "<fim-middle>", ("<|endoftext|>",)),
    Sentinels("GLM", "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", ("<|endoftext|>",)),
    Sentinels("Seed-Coder", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", suffix_first=True),
    Sentinels("Codestral", "[PREFIX]", "[SUFFIX]", "", suffix_first=True),
)
"""The families, in the order in which a vocabulary is searched."""


def find_sentinels(vocabulary: Collection[str], task: str) -> Sentinels:
    """Return the first family of which the vocabulary has all tokens. Raises MftError if there is none."""
    for family in FAMILIES:
        if all(text in vocabulary for text in family.texts):
            return family
    raise mftkit.MftError(
        f'{_of(task)}the format "fim" needs tokens that mark prefix, suffix and middle, and the tokenizer has those '
        f"of no known family ({'; '.join(family.family for family in FAMILIES)}). {_similar(vocabulary)}. Choose a "
        'base model with such tokens, or name them: "options": {"tokens": {"prefix": ..., "suffix": ..., '
        '"middle": ..., "end": ...}}'
    )


def check_sentinels(sentinels: Sentinels, vocabulary: Collection[str], task: str) -> Sentinels:
    """Return tokens that a spec names. Raises MftError for one that is not in the vocabulary."""
    missing = [text for text in (*sentinels.texts, *sentinels.ends) if text not in vocabulary]
    if missing:
        raise mftkit.MftError(
            f"{_of(task)}format.options.tokens: the tokenizer has no added token {', '.join(map(repr, missing))}. "
            f"{_similar(vocabulary)}"
        )
    return sentinels


def _of(task: str) -> str:
    return f"task {task}: " if task else ""


def _similar(vocabulary: Collection[str]) -> str:
    similar = sorted(text for text in vocabulary if _LOOKS_LIKE_ONE.search(text))
    if similar:
        return f"Its added tokens with similar names: {', '.join(similar[:_SHOWN])}"
    if not vocabulary:
        return "It has no added tokens"
    return f"None of its added tokens has a similar name (it has {', '.join(sorted(vocabulary)[:_SHOWN])})"
