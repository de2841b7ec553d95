"""Mellum with experts; the first Mellum is a Llama."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, WINDOW


class Mellum(mftkit.MoEAdapter):
    """``MellumForCausalLM``."""

    model_types = ("mellum",)
    families = (
        mftkit.Family(
            "Mellum",
            {
                "model_type": "mellum", **EXPERTS, **WINDOW, "head_dim": 16, "num_experts": 4,
                "moe_intermediate_size": 64, "router_aux_loss_coef": 0.01,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "MellumForCausalLM",
            router_loss=True,
        ),
    )  # fmt: skip
