"""Import strings: "package.module:Class" names an object that is imported when it is needed."""

from __future__ import annotations

import importlib
from typing import Any


def import_object(path: str) -> Any:
    """The object that "package.module:Class" names. Raises whatever the import raises."""
    module, _, attribute = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def import_string(target: str | type) -> str:
    """The import string of a class; one that is given stays as it is, and nothing is imported.

    >>> import_string(int)
    'builtins:int'
    """
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"
