"""The built-in data generators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_data_generators(register: Callable[..., Any]) -> None:
    """Register each generator by import string."""
    register(
        "python-source",
        "mftkit_plugins.generators.python_source.generator:PythonSource",
        summary="code tasks from installed Python source: completion, comment, text-to-code, repair",
    )
