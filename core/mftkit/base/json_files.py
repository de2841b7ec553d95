"""Reading a JSON object from a file, and text from elsewhere within a limit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

MOST_BYTES = 64 << 20
"""Bytes of the largest spec or config; those with thousands of tasks have a few MiB."""


def read_json_object(path: Path) -> JsonObject:
    """The JSON object that a file holds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8, not JSON, nested too deeply, or holds something else than an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value


def read_limited_text(path: Path) -> str:
    """The text of a file that a person wrote.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not UTF-8.
        MftError: it is larger than any such file.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise MftError(
            f"{path}: has more than {MOST_BYTES >> 20} MiB, so it is something else; check the path"
        )
    return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
