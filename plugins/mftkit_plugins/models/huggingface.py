"""The fallback: whatever transformers loads as a causal language model."""

from __future__ import annotations

from typing import Any

import mftkit


class HuggingFace(mftkit.MoEAdapter):
    """Nothing is known of the family: its head, and whether packed samples stay apart, are tried."""

    def matches(self, config: dict[str, Any]) -> int:
        """1 for a family that transformers has as a causal language model, or that brings one."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        brought = config.get("auto_map") or {}
        native = config.get("model_type") in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        return int(native or "AutoModelForCausalLM" in brought)
