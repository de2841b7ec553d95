"""The fallback: any causal language model that transformers can load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from mftkit import JsonObject


class HuggingFace(mftkit.MoEAdapter):
    """Any family: its head and the isolation of packed samples are checked before training, as for every model."""

    is_fallback = True

    def matches(self, config: JsonObject) -> int:
        """Return 1 for a causal language model that is part of transformers, or that comes with its own code."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        own_code = config.get("auto_map") or {}
        native = config.get("model_type") in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        return int(native or "AutoModelForCausalLM" in own_code)
