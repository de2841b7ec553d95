"""Reading a JSON object from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject


def read_json_object(path: Path) -> JsonObject:
    """The JSON object that a file holds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8, not JSON, or holds something else than an object.
    """
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value
