"""The built-in optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register


@mftkit.hookimpl
def register_optimizers(register: Register) -> None:
    """Register the built-in optimizers."""
    here = "mftkit_plugins.optimizers"
    register("adamw", f"{here}.adamw:AdamW", summary="AdamW, torch's fused one", default=True)
    register(
        "adamw-8bit",
        f"{here}.adamw_8bit:AdamW8bit",
        summary="AdamW with a state of 8 bits, with bitsandbytes: 2 bytes per parameter instead of 8",
    )
    register(
        "paged-adamw",
        f"{here}.paged_adamw:PagedAdamW",
        summary="AdamW whose state moves to the host's memory when the GPU's is full, with bitsandbytes",
    )
    register(
        "muon",
        f"{here}.muon:Muon",
        summary="orthogonalized momentum for matrices (torch's Muon), AdamW for embeddings, head and vectors",
    )
    register(
        "adafactor",
        f"{here}.adafactor:Adafactor",
        summary="second moments of rows and columns instead of each weight: almost no state",
    )
