"""Gradient combiners by TorchJD, registered by import strings, so that listing plugins imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register

COMBINERS = {
    "pcgrad": (
        "PCGrad",
        "removes from each task's gradient the part that conflicts with another task's (PCGrad)",
    ),
    "cagrad": ("CAGrad", "stays near the sum, and maximizes the gain of the worst-off task (CAGrad)"),
    "upgrad": ("UPGrad", "projects each task's gradient so that it conflicts with none, then sums (UPGrad)"),
    "dualproj": ("DualProj", "projects the sum so that it conflicts with no task (DualProj)"),
    "mgda": ("MGDA", "the shortest convex combination of the tasks' gradients (MGDA)"),
    "imtl-g": ("IMTLG", "has projections of equal length on all task gradients (IMTL-G)"),
    "aligned-mtl": ("AlignedMTL", "makes the task gradients orthogonal and equally long (Aligned-MTL)"),
}


@mftkit.hookimpl
def register_gradient_combiners(register: Register) -> None:
    """Register each aggregator under the name in its paper."""
    for name, (kind, summary) in COMBINERS.items():
        register(name, f"mft_torchjd.combiners:{kind}", summary=summary)
