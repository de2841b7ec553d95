"""The built-in data filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_data_filters(register: Callable[..., Any]) -> None:
    """Register each filter by import string."""
    register(
        "exact-duplicates",
        "mftkit_plugins.filters.exact:ExactDuplicates",
        summary="drops rows that say what an earlier row says",
    )
    register(
        "near-duplicates",
        "mftkit_plugins.filters.near:NearDuplicates",
        summary="drops rows that are almost an earlier row (MinHash on tokens of code)",
    )
    register(
        "decontamination",
        "mftkit_plugins.filters.decontamination:Decontamination",
        summary="drops rows that repeat a benchmark's problem, also laid out or named anew",
    )
    register(
        "well-formed",
        "mftkit_plugins.filters.well_formed:WellFormed",
        summary="drops rows that are too short or too long, or whose code does not parse",
    )
    register(
        "verification",
        "mftkit_plugins.filters.verification.filter:Verification",
        summary="runs each row's solution with tests, in isolation; keeps what passes tests that a stub fails",
    )
