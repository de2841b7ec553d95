"""Checks of single values of a row; each fault names the value."""

from __future__ import annotations

from mftkit.data.rows.faults import BadRow

LARGEST_WEIGHT = 3.4e38
"""Largest weight of a row or turn: log-probabilities are multiplied by it in float32."""


def string(value: object, what: str) -> str:
    """Return a string, or the joined text of a list of text parts. Raises BadRow."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return "".join(_part(part, what) for part in value)
    raise BadRow(f"{what} must be a string, not {kind_of(value)}")


def not_blank(value: object, what: str) -> str:
    """Return a string that is not empty or white space only. Raises BadRow."""
    content = string(value, what)
    if not content or content.isspace():
        raise BadRow(f"{what} is empty" if not content else f"{what} is white space only")
    return content


def kind_of(value: object) -> str:
    """Return what a JSON value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _part(part: object, what: str) -> str:
    if isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadRow(f'{what} must be a string, or a list of parts {{"type": "text", "text": ...}}')
