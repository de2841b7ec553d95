"""Packages of the extra "generate", imported only when a measure needs them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from mftkit import MftError

if TYPE_CHECKING:
    from types import ModuleType


def require(module: str, purpose: str) -> ModuleType:
    """Import a module. Raises MftError with the pip command if it is not installed.

    ``purpose`` begins the message, as in "finding near duplicates".
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MftError(missing_text(module, purpose)) from None


def is_installed(module: str) -> bool:
    """Whether a module is there, without importing it."""
    return importlib.util.find_spec(module) is not None


def missing_text(module: str, purpose: str) -> str:
    """The message about a module that is not installed; arguments as those of ``require``."""
    return f"{purpose} needs the package {module}, which is not installed: pip install 'mftkit[generate]'"
