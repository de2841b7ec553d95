"""Tokenization modes: which samples share a packed row, and how long rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_tokenization_modes(register: Register) -> None:
    """Register the three modes of the paper's toolkit."""
    here = "mftkit_plugins.tokenization"
    register(
        "pack",
        f"{here}.pack:Pack",
        summary="fills rows with complete samples, isolated or with shared attention",
        default=True,
    )
    register("padding", f"{here}.padding:Padding", summary="one sample per row, padded to max_length")
    register(
        "dynamic-padding",
        f"{here}.padding:DynamicPadding",
        summary="one sample per row, padded to the longest of the micro-batch",
    )
