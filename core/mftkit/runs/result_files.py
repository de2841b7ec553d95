"""What a result is, from its files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path


def has_chat_template(result: Path) -> bool:
    """Return True if the tokenizer beside the weights has a chat template."""
    if (result / "chat_template.jinja").is_file():
        return True
    config = result / "tokenizer_config.json"
    try:
        return bool(read_json_object(config).get("chat_template")) if config.is_file() else False
    except (OSError, ValueError):
        return False
