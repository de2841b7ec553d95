"""The built-in data filters."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_data_filters(register: mftkit.Register) -> None:
    """Register each filter by import string."""
    register(
        "exact-duplicates",
        "mftkit_plugins.filters.exact:ExactDuplicates",
        summary="drops rows whose contents repeat an earlier row",
    )
    register(
        "near-duplicates",
        "mftkit_plugins.filters.near:NearDuplicates",
        summary="drops rows that are almost equal to an earlier row (MinHash on tokens of code)",
    )
    register(
        "decontamination",
        "mftkit_plugins.filters.decontamination:Decontamination",
        summary="drops rows that repeat a benchmark problem, even reformatted or with other names",
    )
    register(
        "well-formed",
        "mftkit_plugins.filters.well_formed:WellFormed",
        summary="drops rows that are too short or too long, or whose code does not parse",
    )
    register(
        "verification",
        "mftkit_plugins.filters.verification.filter:Verification",
        summary="runs each row's solution with tests, in isolation; keeps it if it passes tests that a stub fails",
    )
