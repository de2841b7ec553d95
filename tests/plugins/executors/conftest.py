"""Isolation must have been tried: where CI asks for that, a test that would be skipped fails."""

from __future__ import annotations

import os

import pytest

REQUIRED = "MFT_REQUIRE_ISOLATION"
"""Names of executors, with commas, that must be there; the CI script sets it."""


def unless_required(name: str, why: str | None) -> None:
    """Skip what cannot be tried here; fail where it has to be."""
    if why is not None:
        required = [part.strip() for part in os.environ.get(REQUIRED, "").split(",")]
        if name in required:
            pytest.fail(f"{REQUIRED} asks for {name}, which cannot be used here: {why}")
        pytest.skip(f"{name} cannot be used here: {why}")
