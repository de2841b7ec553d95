"""A spec without what is nobody else's concern: paths of this machine, credentials, trackers."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from mftkit.base.credentials import HIDDEN, names_secret, without_secrets

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

LEFT_OUT = ("output", "trackers")
"""Keys that say nothing about the model."""
_PATH = re.compile(r"(?<![\w:/.<])(?:~|[A-Za-z]:(?=\\))?(?:[/\\][^/\\\s\"'<>|]+){2,}[/\\]?")
"""An absolute path inside a text."""


def public_spec(spec: JsonObject) -> JsonObject:
    """The spec for readers elsewhere: of an absolute path the last name stays, and secrets are hidden."""
    kept = {key: value for key, value in spec.items() if key not in LEFT_OUT}
    if isinstance(kept.get("data"), dict):
        kept["data"] = {key: value for key, value in kept["data"].items() if key != "cache"}
    public = _public(kept)
    assert isinstance(public, dict), "an object stays an object"
    return public


def public_text(text: str) -> str:
    """A text without absolute paths and credentials.

    >>> public_text("/home/me/data/rows.jsonl"), public_text("https://me:pw@host/v1"), public_text("a/b")
    ('rows.jsonl', 'https://(hidden)@host/v1', 'a/b')
    """
    if _is_absolute(text):
        return _last_name(text)
    text = without_secrets(text)
    return _PATH.sub(lambda found: _last_name(found[0]), text)


def _is_absolute(text: str) -> bool:
    return text.startswith(("/", "~/")) and "\n" not in text and text.count("/") > 1


def _last_name(path: str) -> str:
    stripped = path.rstrip("/\\")
    return PureWindowsPath(stripped).name if "\\" in path else Path(stripped).name


def _public(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(inner, str) and names_secret(str(key)) else _public(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return public_text(value) if isinstance(value, str) else value
