"""Paths in a spec: relative to the spec file when written, absolute when loaded."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from mftkit.interfaces.component import InputName
from mftkit.spec.problems import refuse_one

TEXT_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})


def absolute(value: object, info: ValidationInfo) -> str:
    """Return a path or glob pattern as an absolute one; refuse other values."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        refuse_one("should be a path", value)
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        refuse_one("refers to a home directory that cannot be determined", value)
    base = (info.context or {}).get("directory")
    return _without_dots(str(path if base is None else Path(base) / path))


def _without_dots(path: str) -> str:
    """Return the path without ``..``, unless a symbolic link would make that a different path."""
    short = os.path.normpath(path)
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def absolute_if_local(value: object, info: ValidationInfo) -> str:
    """Return a path as an absolute one, and the id of a repository on the hub unchanged.

    A value is a path if it looks like one (starts with ``.``, ``/`` or ``~``, or has more than one slash), or if the
    path exists.
    """
    path = absolute(value, info)
    text = str(value)
    looks_local = text.startswith((".", "/", "~")) or text.count("/") > 1
    if looks_local or Path(path).exists():
        return InputName(path)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text):
        refuse_one('is neither an existing path nor a hub id ("organization/name")', value)
    return text


def absolute_reference(value: object, info: ValidationInfo) -> str:
    """Return a reference to weights with an absolute path; refuse values that are no text."""
    absolute(value, info)
    base = (info.context or {}).get("directory")
    return reference_in(str(value), None if base is None else Path(base))


def reference_in(text: str, directory: Path | None) -> str:
    """Return a reference to weights, such as RUN@STEP, with an absolute path; a hub id unchanged.

    A path that exists is taken as it is, even if its name contains an "@".

    Args:
        text: the reference.
        directory: what a relative path is relative to; None: the path stays as it is.
    """
    path = Path(text).expanduser()
    full = str(path if directory is None else directory / path)
    for end in [len(full), *(match.start() for match in reversed(list(re.finditer("@", full))))]:
        if Path(full[:end]).exists():
            return _without_dots(full[:end]) + full[end:]
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+(@[^@]+)?", text)
    # "runs/typo" is no organization on the hub if there is a directory "runs".
    if is_hub_id and not text.startswith(".") and not Path(full).parent.is_dir():
        return text
    return _without_dots(full)


def _path(value: object, info: ValidationInfo) -> Path:
    return Path(absolute(value, info))


FilePath = Annotated[Path, PlainValidator(_path), PlainSerializer(str), TEXT_SCHEMA]
"""An absolute path, as ``pathlib.Path``."""
WeightsReference = Annotated[str, PlainValidator(absolute_reference), TEXT_SCHEMA]
"""A reference to weights: a run directory, optionally with @STEP and the like, a directory of weights, or a hub id."""
SpecPathOrHubId = Annotated[str, PlainValidator(absolute_if_local), TEXT_SCHEMA]
"""A path, or the id of a repository of the hub; in the spec and in the options of components."""
