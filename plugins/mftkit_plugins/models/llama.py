"""Llama, and the families published in its architecture."""

from __future__ import annotations

import mftkit


class Llama(mftkit.NativeAdapter):
    """``LlamaForCausalLM``."""

    model_types = ("llama",)
