"""Granite 3 and 4 and their variants with experts: logits divided by a constant; Granite 4 has Mamba layers."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, GROUPED

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SCALES = {
    "logits_scaling": 4.0, "embedding_multiplier": 2.0, "attention_multiplier": 0.25, "residual_multiplier": 0.5,
}  # fmt: skip
_EXPERTS = {**EXPERTS, **_SCALES, "num_local_experts": 4, "router_aux_loss_coef": 0.01}
_HYBRID = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "shared_intermediate_size": 64}


class Granite(mftkit.MoEAdapter):
    """``GraniteForCausalLM``, ``GraniteMoeForCausalLM`` and ``GraniteMoeHybridForCausalLM``."""

    model_types = ("granite", "granitemoe", "granitemoehybrid")
    pad_tokens = ("<|pad|>",)
    families = (
        mftkit.Family("Granite 3", {"model_type": "granite", **GROUPED, **_SCALES}, "GraniteForCausalLM"),
        mftkit.Family(
            "Granite 3 MoE",
            {"model_type": "granitemoe", **_EXPERTS},
            "GraniteMoeForCausalLM",
            router_loss=True,
        ),
        mftkit.Family(
            "Granite 4",
            {"model_type": "granitemoehybrid", **_EXPERTS, **_HYBRID, "layer_types": ["mamba", "attention"]},
            "GraniteMoeHybridForCausalLM",
            attentions=(),
            leaks="keeps state across packed samples, and makes its masks without their positions",
            router_loss=True,
        ),
    )

    def outputs(self, model: PreTrainedModel, batch: mftkit.Batch) -> Any:
        """Return the decoder's outputs; raise MftError if a model with experts would lack its router's loss."""
        outputs = super().outputs(model, batch)
        has_experts = bool(getattr(model.config, "num_local_experts", 0))
        if has_experts and self.coefficient(model) and self.auxiliary_loss(outputs) is None:
            raise mftkit.MftError(
                f"model: transformers {version('transformers')} does not return the choices of Granite's routers, "
                'which their balance loss needs. Install a newer one (pip install "transformers>=5.18"), or train '
                'without that loss: "adapter": {"name": "granite", "options": {"router_loss": 0}}'
            )
        return outputs
