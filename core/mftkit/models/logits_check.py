"""Compare the logits of a checkpoint that was written with those of the model in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mftkit.models.eval_contexts import evaluation, without_flash
from mftkit.models.vocabulary import embedding
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

NOT_FINITE = "its weights contain NaN or infinities, or are too large for their dtype"
ROWS, TOKENS = 2, 24
"""Size of the batch whose logits are compared."""


def sample_logits(model: PreTrainedModel) -> Tensor:
    """Return [rows, tokens, vocabulary], float32 or wider: logits of made-up tokens. Leaves evaluation mode on."""
    vocabulary = embedding(model).weight.shape[0]
    ids = (torch.arange(ROWS * TOKENS) * 7 + 3).remainder(vocabulary).view(ROWS, TOKENS)
    model.train(False)
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def probe_logits(model: PreTrainedModel, ids: Tensor, autocast: torch.dtype | None = None) -> Tensor:
    """Return [rows, tokens, vocabulary], float32 or wider, on the CPU: logits of ``ids`` [rows, tokens] in evaluation.

    The model is left as it was. Flash attention is replaced, because it would need half precision; ``autocast`` is the
    dtype of matrix products, for a model whose parts differ in dtype.
    """
    weight = embedding(model).weight
    with (
        evaluation(model),
        without_flash(model),
        torch.no_grad(),
        torch.autocast(weight.device.type, dtype=autocast, enabled=autocast is not None),
    ):
        logits: Tensor = model(input_ids=ids.to(weight.device), use_cache=False).logits
    return logits.to("cpu", torch.promote_types(logits.dtype, torch.float32))


def compare_logits(before: Tensor, after: Tensor, dtype: torch.dtype, failure: str) -> tuple[float, float]:
    """Return the largest difference and the largest logit; raise MftError for more than rounding to ``dtype`` explains.

    ``failure`` begins the message: it names the two models, and says what follows from a difference.
    """
    if before.shape != after.shape:
        raise MftError(
            f"{failure}: their shapes differ, {tuple(after.shape)} instead of {tuple(before.shape)}"
        )
    if not before.isfinite().all():
        raise MftError(f"the model's logits are not finite, and nothing was written: {NOT_FINITE}")
    difference, largest = float((after - before).abs().max()), float(before.abs().max())
    # 16 roundings are what a few layers may add up to; 1e-3 covers kernels that sum in another order. ``not <=``: NaN.
    if not difference <= max(1e-3, 16 * torch.finfo(dtype).eps) * max(largest, 1e-30):
        raise MftError(f"{failure} (largest difference {difference:.3g}, largest logit {largest:.3g})")
    return difference, largest
