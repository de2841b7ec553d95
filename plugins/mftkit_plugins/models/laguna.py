"""Laguna: gated attention, and experts chosen by sigmoids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, WINDOW

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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

    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        """Return the linear layers except those of shared experts.

        transformers 5.23 renames keys of shared experts in a saved adapter when it attaches it, and then drops them.
        """
        names = [name for name, _ in model.named_modules() if "shared_expert" not in name]
        ends = super().lora_targets(model)
        return sorted(
            {name for name in names for end in ends if name.endswith(f".{end}") and "experts" not in name}
        )
