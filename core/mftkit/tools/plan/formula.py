"""Activations by a formula, for models whose operations do not run on tensors without values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.tools.plan.fake_step import Moment
from mftkit.tools.plan.sizes import decoder_layers
from mftkit.training.logprobs import LOGITS_IN_CHUNK

if TYPE_CHECKING:
    from mftkit.tools.plan.outline import Outline

NUMBERS_PER_LAYER = 17
"""Numbers per token and channel that a layer keeps without attention scores: 34 bytes in 16 bits (arXiv 2205.05198,
section 4.1)."""
SELECTIVE_NUMBERS_PER_LAYER = 11
"""Of these, what selective checkpointing keeps: the layer's input, and the results of the products and of attention."""


def formula_moments(outline: Outline, rows: int) -> tuple[Moment, ...]:
    """Moments of a transformer of the usual proportions: a feed-forward layer of 4 times the width."""
    config = outline.tuning.base_model(outline.model).config.get_text_config()
    layers = len(decoder_layers(outline.tuning.base_model(outline.model)))
    numbers = rows * outline.spec.max_length * int(getattr(config, "hidden_size", 0))
    size = outline.precision.arithmetic.itemsize
    kept = {
        False: layers * NUMBERS_PER_LAYER,
        True: layers + NUMBERS_PER_LAYER,
        "selective": layers * SELECTIVE_NUMBERS_PER_LAYER + NUMBERS_PER_LAYER,
    }[outline.spec.training.gradient_checkpointing]
    trained = [p for p in outline.model.parameters() if p.requires_grad]
    casts = sum(p.numel() for p in trained) * size if outline.precision.autocast else 0
    logits = (
        2 * 4 * min(LOGITS_IN_CHUNK, rows * outline.spec.max_length * int(getattr(config, "vocab_size", 0)))
    )
    gradients = sum(p.numel() * p.element_size() for p in trained)
    before = Moment(0, kept * numbers * size, casts, logits)
    after = Moment(gradients, NUMBERS_PER_LAYER * numbers * size, 0, 0)
    return before, after
