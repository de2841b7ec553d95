"""Tokenization modes: which samples share a row, and how long rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_tokenization_modes(register: Callable[..., None]) -> None:
    """The three modes of the paper's toolkit."""
    here = "mftkit_plugins.tokenization"
    register(
        "pack", f"{here}.pack:Pack", summary="fills rows with whole samples, isolated or shared", default=True
    )
    register("padding", f"{here}.padding:Padding", summary="one sample a row, padded to max_length")
    register(
        "dynamic-padding",
        f"{here}.padding:DynamicPadding",
        summary="one sample a row, padded to the longest of the micro-batch",
    )
