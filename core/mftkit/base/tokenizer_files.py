"""Loads a checkpoint's tokenizer, if it has one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.reasons import reason
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VOCABULARY_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
)
"""Without one of them transformers silently builds an empty tokenizer from tokenizer_config.json or the model type."""


def load_tokenizer(
    path: str, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a directory or a hub id, at a ``revision``; None if there is no vocabulary.

    Raises MftError for one that cannot be read.
    """
    from transformers import AutoTokenizer

    if not has_vocabulary(path, revision):
        return None
    at = {} if revision is None else {"revision": revision}
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=trust_remote_code, **at
        )
    except Exception as error:  # the tokenizers library raises bare Exceptions on a broken file
        if "trust_remote_code" in str(error):
            raise MftError(
                f"the tokenizer of {path} needs the checkpoint's own code, and running that is disabled; set "
                "model.trust_remote_code to true if you trust it, or provide the tokenizer in the format of "
                "transformers (tokenizer.json)"
            ) from error
        raise MftError(f"the tokenizer of {path} cannot be read: {reason(error)}") from error
    return tokenizer


def has_vocabulary(path: str, revision: str | None = None) -> bool:
    """Return True if a directory or a hub id has the files of a tokenizer."""
    directory = Path(path).expanduser()
    if directory.is_dir():
        return any((directory / name).is_file() for name in VOCABULARY_FILES)
    if directory.is_absolute():
        return False
    from transformers.utils.hub import cached_file

    options = {
        "revision": revision,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    return any(cached_file(path, name, **options) is not None for name in VOCABULARY_FILES)
