"""Gradient combiners by TorchJD, registered by import strings, so that listing plugins imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import Register

COMBINERS = {
    "pcgrad": ("PCGrad", "takes out of each task's gradient what opposes another's (PCGrad)"),
    "cagrad": ("CAGrad", "near the sum, and best for the task that it serves least (CAGrad)"),
    "upgrad": ("UPGrad", "each task's gradient projected so that it opposes none, then summed (UPGrad)"),
    "dualproj": ("DualProj", "the sum projected so that it opposes no task (DualProj)"),
    "mgda": ("MGDA", "the shortest convex combination of the tasks' gradients (MGDA)"),
    "imtl-g": ("IMTLG", "equally long along each task's gradient (IMTL-G)"),
    "aligned-mtl": ("AlignedMTL", "the tasks' gradients made orthogonal and equally long (Aligned-MTL)"),
}


@mftkit.hookimpl
def register_gradient_combiners(register: Register) -> None:
    """Each aggregator under the name of its paper."""
    for name, (kind, summary) in COMBINERS.items():
        register(name, f"mft_torchjd.combiners:{kind}", summary=summary)
