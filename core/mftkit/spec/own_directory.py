"""The spec.json of a run directory: it stands for the run where it lies now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

SPEC_FILE = "spec.json"
MARK = "environment.json"
"""A file that only run directories have."""


def spec_file(given: Path) -> Path:
    """Return the spec of a run directory; any other path unchanged.

    Raises MftError for a directory without a spec.
    """
    if not given.is_dir():
        return given
    file = given / SPEC_FILE
    if not file.is_file():
        raise MftError(
            f"{given} is a directory without a {SPEC_FILE}; give a spec, or the directory of a run."
        )
    return file


def at_home(data: JsonObject, file: Path) -> JsonObject:
    """Return the spec of ``file`` with the directory of the file as its output, if that is a run directory.

    A run that was moved or copied has the old place in its spec. Paths within it follow.
    """
    here = file.absolute().parent
    before = data.get("output")
    if file.name != SPEC_FILE or not (here / MARK).is_file() or not isinstance(before, str):
        return data
    if not Path(before).is_absolute() or is_same_place(before, here):
        return data
    return followed(data, before, str(here))


def is_same_place(one: str | Path, other: str | Path) -> bool:
    """Return True for two paths of one directory, also if one of them leads through a symbolic link."""
    one, other = Path(one), Path(other)
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def followed(data: JsonObject, before: str, now: str) -> JsonObject:
    """Return a spec whose output has moved, with all paths within it."""
    return {**{key: _followed(value, before, now) for key, value in data.items()}, "output": now}


def _followed(value: object, before: str, now: str) -> object:
    """Return a value with each path below ``before`` below ``now`` instead."""
    if isinstance(value, dict):
        return {key: _followed(inner, before, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [_followed(inner, before, now) for inner in value]
    if isinstance(value, str) and value.startswith(f"{before.rstrip('/')}/"):
        return now + value[len(before.rstrip("/")) :]
    return value
