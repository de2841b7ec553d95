"""Reads a JSON file strictly: repeated keys and numbers that are not finite are refused, with their line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject


def read_json(path: Path) -> JsonObject:
    """Read the object in a JSON file. Raises MftError with PATH:LINE if the file does not contain one."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise MftError(f"{path}: no such file") from None
    except OSError as error:
        raise MftError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MftError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        raise MftError(
            f"{path}:{error.lineno}: not valid JSON: {error.msg} (column {error.colno})"
        ) from error
    except _RefusedError as error:
        raise MftError(f"{path}{error.place(text)}: {error}") from error
    if not isinstance(value, dict):
        raise MftError(f"{path}: expected one JSON object {{...}}, not {type(value).__name__}")
    return value


def parse_json(text: str) -> Any:
    """Parse JSON without repeated keys and without numbers that are not finite. Raises ValueError."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_not_a_number,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise _RefusedError("is nested too deeply", "") from None


class _RefusedError(ValueError):
    """JSON that is valid but not allowed here."""

    def __init__(self, message: str, pattern: str) -> None:
        super().__init__(message)
        self.pattern = pattern

    def place(self, text: str) -> str:
        """Return ``:LINE`` of the last place that matches the pattern."""
        lines = [
            n for n, line in enumerate(text.splitlines(), 1) if self.pattern and re.search(self.pattern, line)
        ]
        return f":{lines[-1]}" if lines else ""


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        if key in found:
            quoted = json.dumps(key, ensure_ascii=False)
            raise _RefusedError(f"the key {quoted} is given twice in one object", re.escape(quoted) + r"\s*:")
        found[key] = value
    return found


def _not_a_number(text: str) -> NoReturn:
    raise _RefusedError(f"{text} is not a JSON number", re.escape(text))


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _RefusedError(f"the number {text} is too large", re.escape(text))
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python refuses thousands of digits
        raise _RefusedError(f"the number {text[:20]}... is too long", re.escape(text)) from None
