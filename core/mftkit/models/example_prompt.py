"""An example of a prompt, as a tokenizer's chat template writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import TemplateError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REQUEST = "(your request)"


def example_prompt(tokenizer: PreTrainedTokenizerBase | None) -> str | None:
    """A conversation up to the model's answer; None without a chat template, or if it allows no such conversation."""
    if tokenizer is None or not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": REQUEST}]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except (
        TemplateError,
        TypeError,
        ValueError,
    ):  # some templates accept only conversations of their own kind
        return None
