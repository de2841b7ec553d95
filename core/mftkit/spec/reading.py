"""Reads the file of a spec, JSON or YAML, with the lines of its keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_limited_text
from mftkit.spec.json_text import RefusedTextError, parse_json, parse_json_lines
from mftkit.spec.positions import Positions
from mftkit.spec.yaml_text import parse_yaml_lines
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

__all__ = ["is_yaml", "parse_json", "read_spec_file"]

YAML_ENDINGS = (".yaml", ".yml")


def is_yaml(path: str | Path) -> bool:
    """Whether a spec of this name is YAML; all others are JSON.

    >>> is_yaml("run.yml"), is_yaml("run.json")
    (True, False)
    """
    return Path(path).suffix.lower() in YAML_ENDINGS


def read_spec_file(path: Path) -> tuple[JsonObject, Positions]:
    """Read the object in a file, and where each of its keys is.

    Raises:
        MftError: the file does not contain one; with ``PATH:LINE``.
    """
    text = _text(path)
    try:
        value, lines = parse_yaml_lines(text) if is_yaml(path) else parse_json_lines(text)
    except json.JSONDecodeError as error:
        raise MftError(
            f"{path}:{error.lineno}: not valid JSON: {error.msg} (column {error.colno})"
        ) from error
    except RefusedTextError as error:
        place = "" if error.line is None else f":{error.line}"
        raise MftError(f"{path}{place}: {error}") from error
    if not isinstance(value, dict):
        expected = "keys with values (KEY: VALUE)" if is_yaml(path) else "one JSON object {...}"
        found = "an empty file" if value is None else type(value).__name__
        raise MftError(f"{path}: expected {expected}, not {found}")
    return value, Positions(str(path), lines)


def _text(path: Path) -> str:
    try:
        return read_limited_text(path)
    except FileNotFoundError:
        raise MftError(f"{path}: no such file") from None
    except OSError as error:
        raise MftError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MftError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
