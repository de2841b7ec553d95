"""The number types of a run: those of its weights and of its matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mftkit.reporting.reporter import Reporter


@dataclass(frozen=True)
class Precision:
    """The number types of a run."""

    name: str
    weights: torch.dtype
    """The dtype of trained weights."""
    autocast: torch.dtype | None
    """The dtype of matrix products, if it is not that of the weights."""

    @property
    def arithmetic(self) -> torch.dtype:
        """The dtype of matrix products, and of weights that are not trained."""
        return self.autocast or self.weights


def choose_precision(dtype: str, device: torch.device, reporter: Reporter) -> Precision:
    """The number types for ``model.dtype``; with "auto", bfloat16 if the device supports it.

    Warns if the device does not support what the spec asks for.
    """
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if dtype == "auto":
        dtype = "bfloat16" if has_bfloat16 else "float32"
    elif dtype == "bfloat16" and not has_bfloat16:
        reporter.warn(
            f"model.dtype: this device ({device.type}) has no bfloat16 arithmetic; training in float32 instead"
        )
        dtype = "float32"
    if dtype == "bfloat16":
        # Only products are in bfloat16, where it is fast: its weights would lose the sum of many small updates.
        return Precision("bfloat16", torch.float32, torch.bfloat16)
    return Precision(dtype, getattr(torch, dtype), None)
