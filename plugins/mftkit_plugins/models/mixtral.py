"""Mixtral: Mistral with experts in each layer."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import MISTRAL
from mftkit_plugins.models.tiny import EXPERTS


class Mixtral(mftkit.MoEAdapter):
    """``MixtralForCausalLM``."""

    model_types = ("mixtral",)
    instruct_formats = (MISTRAL,)
    pad_tokens = ("<pad>", "[PAD]")
    families = (
        mftkit.Family(
            "Mixtral",
            {"model_type": "mixtral", **EXPERTS, "num_local_experts": 4, "router_aux_loss_coef": 0.01},
            "MixtralForCausalLM",
            router_loss=True,
        ),
    )
