"""Nemotron-H, and Nemotron 3: Mamba layers, few of attention, and experts in some models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, KEEPS_STATE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SIZES = {key: value for key, value in EXPERTS.items() if key != "num_hidden_layers"}


class Nemotron(mftkit.MoEAdapter):
    """``NemotronHForCausalLM``."""

    model_types = ("nemotron_h",)
    families = (
        mftkit.Family(
            "Nemotron-H, Nemotron 3",
            {
                "model_type": "nemotron_h", **_SIZES, "layers_block_type": ["mamba", "attention", "mlp", "moe"],
                "head_dim": 16, "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 2,
                "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 64,
                "moe_shared_expert_intermediate_size": 64,
            },
            "NemotronHForCausalLM",
            attentions=(),
            leaks=KEEPS_STATE,
            note="no loss of its router is known",
        ),
    )  # fmt: skip

    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        """Return the linear layers except the Mamba layers' last: a fused kernel reads its weights past LoRA."""
        return [name for name in super().lora_targets(model) if name != "out_proj"]
