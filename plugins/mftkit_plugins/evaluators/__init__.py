"""The built-in evaluators: what a model can do, by its answers or its losses."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_evaluators(register: mftkit.Register) -> None:
    """Register each evaluator by import string."""
