"""A fast tokenizer whose special tokens come from chat templates and its own post-processor, never from text."""

from __future__ import annotations

import copy
from typing import Any

from transformers import TokenizersBackend


class CommandTokenizer(TokenizersBackend):
    """transformers' fast tokenizer, except that what looks like a special token in a text stays text.

    It saves as the plain class, so that anyone can load it. That class finds special tokens in texts, as usual,
    because a chat template would not work otherwise; there, ``split_special_tokens=True`` keeps them text.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.split_special_tokens = True

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Accept the original tokenizer's names for the begin, end and pad tokens, too."""
        if isinstance(tokens, str):
            named = {"<bos>": self.bos_token, "<eos>": self.eos_token, "<pad>": self.pad_token}
            tokens = named.get(tokens) or tokens
        return super().convert_tokens_to_ids(tokens)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> Any:
        """Encode the special tokens of the template as such."""
        self.split_special_tokens = False
        try:
            return super().apply_chat_template(*args, **kwargs)
        finally:
            self.split_special_tokens = True

    def save_pretrained(self, *args: Any, **kwargs: Any) -> tuple[str, ...]:
        """Save as transformers' own class."""
        plain: Any = copy.copy(self)
        plain.__class__ = TokenizersBackend
        saved: tuple[str, ...] = plain.save_pretrained(*args, **kwargs)
        return saved
