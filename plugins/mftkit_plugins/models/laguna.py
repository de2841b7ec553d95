"""Laguna: gated attention, and experts chosen by sigmoids."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, WINDOW


class Laguna(mftkit.MoEAdapter):
    """``LagunaForCausalLM``."""

    model_types = ("laguna",)
    families = (
        mftkit.Family(
            "Laguna",
            {
                "model_type": "laguna", **EXPERTS, **WINDOW, "head_dim": 16, "num_experts": 4,
                "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64, "router_aux_loss_coef": 0.01,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "LagunaForCausalLM",
            router_loss=True,
        ),
    )  # fmt: skip
