"""What the tokenizers of converted families read beside the vocabulary."""

from __future__ import annotations

import json
from typing import Any

import mftkit
from mftkit import checkpoint_file


def tokenizer_config(path: str) -> dict[str, Any]:
    """``tokenizer_config.json``, empty where there is none; MftError where it is no JSON object."""
    file = checkpoint_file(path, "tokenizer_config.json")
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise mftkit.MftError(f"the tokenizer of {path} cannot be read: {file.name}: {error}") from error
    if not isinstance(found, dict):
        raise mftkit.MftError(f"the tokenizer of {path} cannot be read: {file.name} holds no object")
    return found


def token_text(token: Any) -> str | None:
    """The text of a token that a config gives as such, or as an object with its content."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def kept_settings(config: dict[str, Any], chat_template: str | None) -> dict[str, Any]:
    """Settings that every tokenizer shares; the checkpoint's own chat template comes before the family's."""
    own = config.get("chat_template")
    settings = {
        "chat_template": own if isinstance(own, str) else chat_template,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    longest = config.get("model_max_length")
    return settings | ({"model_max_length": longest} if isinstance(longest, int) else {})
