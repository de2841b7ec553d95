"""Paths in a spec: relative to the spec file as written, absolute once it is read."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from mftkit.spec.problems import refuse_one

TEXT_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})


def absolute(value: Any, info: ValidationInfo) -> str:
    """A path or glob, made absolute; refuses what is no path."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        refuse_one("should be a path", value)
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        refuse_one("names a home directory that is not known", value)
    base = (info.context or {}).get("directory")
    return _without_dots(str(path if base is None else Path(base) / path))


def _without_dots(path: str) -> str:
    """The path without ``..``, unless a symbolic link makes that another path."""
    short = os.path.normpath(path)
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def absolute_if_local(value: Any, info: ValidationInfo) -> str:
    """A path, made absolute, or the id of a repository of the hub, as it is.

    It is a path where it looks like one (starts with ``.``, ``/`` or ``~``, or has more than one slash), and
    where something stands there.
    """
    path = absolute(value, info)
    text = str(value)
    looks_local = text.startswith((".", "/", "~")) or text.count("/") > 1
    if looks_local or Path(path).exists():
        return path
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text):
        refuse_one('is neither a path that exists nor a hub id ("organisation/name")', value)
    return text


def _path(value: Any, info: ValidationInfo) -> Path:
    return Path(absolute(value, info))


FilePath = Annotated[Path, PlainValidator(_path), PlainSerializer(str), TEXT_SCHEMA]
"""An absolute path, as ``pathlib.Path``."""
SpecPathOrHubId = Annotated[str, PlainValidator(absolute_if_local), TEXT_SCHEMA]
"""A path, or the id of a repository of the hub; in the spec and in the options of components."""
