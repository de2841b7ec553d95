"""Whether a checkpoint that was written says what the model in memory said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor

NOT_FINITE = "its weights hold NaN or infinities, or are too large for their dtype"
TRIED = (2, 24)
"""Rows and tokens that logits are compared on."""


def tried_logits(model: Any) -> Tensor:
    """[rows, tokens, vocabulary] float32 (or wider): of made-up tokens."""
    rows, length = TRIED
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(rows * length) * 7 + 3).remainder(vocabulary).view(rows, length)
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def compare_logits(before: Tensor, after: Tensor, dtype: torch.dtype, told: str) -> tuple[float, float]:
    """Largest difference and largest logit; MftError where it is more than rounding to ``dtype`` explains.

    ``told`` says in the message whose logits they are, and ends with what follows from a difference.
    """
    if before.shape != after.shape:
        raise MftError(f"{told}: their shapes differ, {tuple(after.shape)} for {tuple(before.shape)}")
    if not before.isfinite().all():
        raise MftError(f"the model's logits are not finite, and nothing was written: {NOT_FINITE}")
    difference, largest = float((after - before).abs().max()), float(before.abs().max())
    if not difference <= max(1e-3, 16 * torch.finfo(dtype).eps) * max(largest, 1e-30):
        raise MftError(f"{told} (off by {difference:.3g}, the largest being {largest:.3g})")
    return difference, largest
