"""gpt-oss: experts with biases, and attention with sinks, which sdpa cannot compute."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, WINDOW


class GptOss(mftkit.MoEAdapter):
    """``GptOssForCausalLM``."""

    model_types = ("gpt_oss",)
    pad_tokens = ("<|endoftext|>",)
    families = (
        mftkit.Family(
            "gpt-oss",
            {
                "model_type": "gpt_oss", **EXPERTS, **WINDOW, "intermediate_size": 64, "head_dim": 16,
                "num_local_experts": 4, "router_aux_loss_coef": 0.01,
                "layer_types": ["sliding_attention", "full_attention"],
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "GptOssForCausalLM",
            attentions=(),
            leaks="makes its masks without the positions, so that packed samples see each other",
            router_loss=True,
            note="attention with sinks: sdpa cannot compute them, so transformers does not offer it",
        ),
    )  # fmt: skip
