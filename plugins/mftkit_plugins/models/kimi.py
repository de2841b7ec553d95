"""Kimi Linear: linear attention in most layers, latent attention in the others, and experts."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, KEEPS_STATE


class Kimi(mftkit.MoEAdapter):
    """``KimiLinearForCausalLM``."""

    model_types = ("kimi_linear",)
    pad_tokens = ("[PAD]",)
    families = (
        mftkit.Family(
            "Kimi Linear",
            {
                "model_type": "kimi_linear", **EXPERTS, "num_key_value_heads": 4, "num_local_experts": 4,
                "moe_intermediate_size": 64, "kv_lora_rank": 64, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16,
                "v_head_dim": 16, "linear_head_dim": 16, "linear_num_heads": 4,
                "layer_types": ["linear_attention", "full_attention"], "mlp_layer_types": ["dense", "sparse"],
            },
            "KimiLinearForCausalLM",
            attentions=(),
            leaks=KEEPS_STATE,
            note="no loss of its router is known",
        ),
    )  # fmt: skip
