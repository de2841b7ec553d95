"""Llama, and the families published with its architecture."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import DEEPSEEK_CODER, LLAMA_3
from mftkit_plugins.models.tiny import GROUPED


class Llama(mftkit.NativeAdapter):
    """``LlamaForCausalLM``."""

    model_types = ("llama",)
    instruct_formats = (LLAMA_3, DEEPSEEK_CODER)
    pad_tokens = ("<|finetune_right_pad_id|>", "<pad>")
    families = (
        mftkit.Family(
            "Llama 1, 2, 3, CodeLlama, DeepSeek-Coder 1",
            {"model_type": "llama", **GROUPED},
            "LlamaForCausalLM",
        ),
    )
