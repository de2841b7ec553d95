"""Packages that the measures need, imported when one is used."""

from __future__ import annotations

import importlib
from typing import Any

from mftkit_registry import MftError


def needed(module: str, what: str) -> Any:
    """The module; raises MftError that says how to get it. ``what`` is what needs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MftError(
            f"{what} needs the package {module}, which is not installed: pip install 'mftkit[generate]'"
        ) from None
