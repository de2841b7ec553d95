"""Loads a checkpoint's tokenizer, if it has one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.base.reasons import reason
from mftkit.base.regular_files import check_regular_files
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject

VOCABULARY_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
)
"""Without one of them transformers silently builds an empty tokenizer from tokenizer_config.json or the model type."""

LARGEST_ID = 100_000_000
"""Far above any token's: the libraries lay out a table with a place for each id."""
MOST_GROWTH = 10_000
"""Times that the longest replacements of a tokenizer may lengthen a text; those of published ones hardly do."""


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
    check_tokenizer_files(path)
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
    _try(tokenizer, path)
    return tokenizer


def check_tokenizer_files(path: str) -> None:
    """Raise MftError for files in a local directory on which the libraries would hang or fail without their name."""
    directory = Path(path).expanduser()
    if not directory.is_dir():
        return
    check_regular_files(directory, "model.tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (directory / name).is_file():
            continue
        try:
            content = read_json_object(directory / name)
            if name == "tokenizer.json":
                _check_ids(content)
                for key in ("normalizer", "decoder"):
                    _check_growth(key, content.get(key))
        except (OSError, ValueError) as error:
            raise MftError(
                f"the tokenizer of {path} cannot be read: {name}: {reason(error)}; download it again"
            ) from error


def _check_ids(content: JsonObject) -> None:
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    tokens = list(vocabulary.items()) if isinstance(vocabulary, dict) else []
    extra = [each for each in added if isinstance(each, dict)] if isinstance(added, list) else []
    own = [(str(each.get("content")), each.get("id")) for each in extra]
    for token, number in [*tokens, *own]:
        if isinstance(number, int) and not 0 <= number <= LARGEST_ID:
            raise ValueError(f"the token {token!r} has the id {number}, which no vocabulary has")
    first: dict[object, str] = {}
    for token, number in own:
        if isinstance(number, int) and first.setdefault(number, token) != token:
            raise ValueError(f"the added tokens {first[number]!r} and {token!r} have the same id, {number}")


def _check_growth(key: str, step: object) -> None:
    """Raise ValueError for replacements that can make a text longer by orders of magnitude, one after another."""
    growth = 1.0
    for each in _steps(step):
        content, pattern = each.get("content"), each.get("pattern")
        if each.get("type") == "Replace" and isinstance(content, str) and isinstance(pattern, dict):
            growth *= max(1.0, len(content) / _shortest_match(pattern))
    if growth > MOST_GROWTH:
        raise ValueError(f"its {key} can make a text {growth:,.0f} times as long")


def _steps(step: object) -> Iterator[JsonObject]:
    if isinstance(step, dict):
        yield step
        for key in ("normalizers", "decoders"):
            inner = step.get(key)
            for each in inner if isinstance(inner, list) else ():
                yield from _steps(each)


def _shortest_match(pattern: JsonObject) -> float:
    """The characters that a pattern replaces at least; half a character if that can be none."""
    text = pattern.get("String")
    if isinstance(text, str):
        return len(text) or 0.5
    try:
        return 0.5 if re.match(str(pattern.get("Regex")), "") else 1.0
    except re.error:  # the library's expressions can have what Python's have not
        return 1.0


def _try(tokenizer: PreTrainedTokenizerBase, path: str) -> None:
    """Raise MftError for a tokenizer that was read and cannot be used."""
    wrong = f"the tokenizer of {path} cannot be used: "
    if not isinstance(tokenizer.model_max_length, int | float):
        raise MftError(
            f"{wrong}tokenizer_config.json: model_max_length should be a number (given: {tokenizer.model_max_length!r})"
        )
    if not isinstance(tokenizer.chat_template, str | dict | None):
        raise MftError(f"{wrong}its chat_template should be a text (given: {tokenizer.chat_template!r})")
    try:
        tokenizer("x 1")
    except BaseException as error:
        # The panic of the tokenizers library is none of Python's Exceptions.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise MftError(f"{wrong}it cannot encode a text: {reason(error)}; download it again") from error


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
