"""Llama, and the families published with its architecture."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import DEEPSEEK_CODER, LLAMA_3
from mftkit_plugins.models.tiny import GROUPED, WINDOW

_ROPE = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 64,
    "high_freq_factor": 4.0, "low_freq_factor": 1.0,
}  # fmt: skip
_CWM = {"head_dim": 16, "rope_parameters": _ROPE, "layer_types": ["sliding_attention", "full_attention"]}


class Llama(mftkit.NativeAdapter):
    """``LlamaForCausalLM``, and ``CwmForCausalLM``, which adds a sliding window."""

    model_types = ("llama", "iquestcoder", "cwm")
    instruct_formats = (LLAMA_3, DEEPSEEK_CODER)
    pad_tokens = ("<|finetune_right_pad_id|>", "<pad>")
    families = (
        mftkit.Family(
            "Llama 1, 2, 3, CodeLlama, DeepSeek-Coder 1",
            {"model_type": "llama", **GROUPED},
            "LlamaForCausalLM",
        ),
        mftkit.Family(
            "IQuest-Coder",
            {"model_type": "iquestcoder", **GROUPED, "head_dim": 16},
            "LlamaForCausalLM",
        ),
        mftkit.Family(
            "CWM",
            {"model_type": "cwm", **GROUPED, **WINDOW, **_CWM},
            "CwmForCausalLM",
        ),
    )
