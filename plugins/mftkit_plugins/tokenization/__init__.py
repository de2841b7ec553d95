"""Tokenization modes: which samples share a packed row, and how long rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_tokenization_modes(register: Register) -> None:
    """Register the three modes of the paper's toolkit, and the one that chooses between them."""
    here = "mftkit_plugins.tokenization"
    register(
        "auto",
        f"{here}.auto:Auto",
        summary="packs and isolates if the model can, else one sample per row, grouped by length",
        default=True,
    )
    register(
        "pack",
        f"{here}.pack:Pack",
        summary="fills rows with complete samples, isolated or with shared attention",
    )
    register("padding", f"{here}.padding:Padding", summary="one sample per row, padded to max_length")
    register(
        "dynamic-padding",
        f"{here}.padding:DynamicPadding",
        summary="one sample per row, padded to the longest of the micro-batch",
    )
