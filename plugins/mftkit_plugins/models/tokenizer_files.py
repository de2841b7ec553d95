"""Settings that the tokenizers of converted families read, besides the vocabulary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import mftkit
from mftkit import checkpoint_file

if TYPE_CHECKING:
    from mftkit import JsonObject


def tokenizer_config(path: str) -> JsonObject:
    """Return ``tokenizer_config.json``, empty if there is none; raise MftError if it is not a JSON object."""
    file = checkpoint_file(path, "tokenizer_config.json")
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise mftkit.MftError(f"the tokenizer of {path} cannot be read: {file.name}: {error}") from error
    if not isinstance(found, dict):
        raise mftkit.MftError(f"the tokenizer of {path} cannot be read: {file.name} is not a JSON object")
    return found


def token_text(token: object) -> str | None:
    """Return the text of a token, which a config gives as a string or as an object with its content."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def kept_settings(config: JsonObject, chat_template: str | None) -> JsonObject:
    """Return the settings common to all tokenizers; the checkpoint's own chat template takes precedence."""
    own = config.get("chat_template")
    settings = {
        "chat_template": own if isinstance(own, str) else chat_template,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    longest = config.get("model_max_length")
    return settings | ({"model_max_length": longest} if isinstance(longest, int) else {})
