"""How many tokens a model reads at most, as its config says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONTEXT_KEYS = ("max_position_embeddings", "n_positions")


def context_length(model: PreTrainedModel) -> int | None:
    """Return the largest number of tokens of a prompt and its answer together; None if the config names none."""
    config = model.config.get_text_config()
    limits = [getattr(config, key, None) for key in CONTEXT_KEYS]
    return min((n for n in limits if isinstance(n, int) and n > 0), default=None)
