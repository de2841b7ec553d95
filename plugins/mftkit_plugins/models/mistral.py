"""Mistral: Llama with a sliding window; Ministral 3 without one."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import MISTRAL
from mftkit_plugins.models.tiny import GROUPED, WINDOW

_ROPE = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 64,
    "llama_4_scaling_beta": 0.1,
}  # fmt: skip


class Mistral(mftkit.NativeAdapter):
    """``MistralForCausalLM`` and ``Ministral3ForCausalLM``."""

    model_types = ("mistral", "ministral3")
    instruct_formats = (MISTRAL,)
    pad_tokens = ("<pad>", "[PAD]")
    families = (
        mftkit.Family("Mistral", {"model_type": "mistral", **GROUPED, **WINDOW}, "MistralForCausalLM"),
        mftkit.Family(
            "Ministral 3, Devstral 2 (text)",
            {"model_type": "ministral3", **GROUPED, "head_dim": 16, "rope_parameters": _ROPE},
            "Ministral3ForCausalLM",
        ),
    )
