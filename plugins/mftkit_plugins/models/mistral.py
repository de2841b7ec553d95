"""Mistral: Llama with a sliding window."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import MISTRAL
from mftkit_plugins.models.tiny import GROUPED, WINDOW


class Mistral(mftkit.NativeAdapter):
    """``MistralForCausalLM``."""

    model_types = ("mistral",)
    instruct_formats = (MISTRAL,)
    pad_tokens = ("<pad>", "[PAD]")
    families = (
        mftkit.Family("Mistral", {"model_type": "mistral", **GROUPED, **WINDOW}, "MistralForCausalLM"),
    )
