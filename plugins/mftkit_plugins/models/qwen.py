"""Qwen 1 to 3.5, with and without experts; from Qwen3-Next on, most layers are linear attention."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import CHATML
from mftkit_plugins.models.qwen1 import Qwen1
from mftkit_plugins.models.tiny import EXPERTS, GROUPED, KEEPS_STATE, LINEAR

_EXPERTS = {**EXPERTS, "num_experts": 4, "moe_intermediate_size": 64, "router_aux_loss_coef": 0.01}
_LINEAR = {**_EXPERTS, **LINEAR, "shared_expert_intermediate_size": 64}


class Qwen(Qwen1, mftkit.MoEAdapter):
    """``Qwen2ForCausalLM`` (2 and 2.5), ``Qwen3ForCausalLM``, ``Qwen3_5ForCausalLM``, and their variants with experts.

    Checkpoints of Qwen 1 are converted to the first.
    """

    model_types = (
        "qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe",
        "qwen3_5_moe_text",
    )  # fmt: skip
    instruct_formats = (CHATML,)
    pad_tokens = ("<|endoftext|>",)
    families = (
        *Qwen1.families,
        mftkit.Family("Qwen 2, 2.5, 2.5-Coder", {"model_type": "qwen2", **GROUPED}, "Qwen2ForCausalLM"),
        mftkit.Family("Qwen 3", {"model_type": "qwen3", **GROUPED, "head_dim": 16}, "Qwen3ForCausalLM"),
        mftkit.Family(
            "Qwen 1.5 MoE, 2 MoE",
            {"model_type": "qwen2_moe", **_EXPERTS, "shared_expert_intermediate_size": 64},
            "Qwen2MoeForCausalLM",
            router_loss=True,
        ),
        mftkit.Family(
            "Qwen 3 MoE, Qwen3-Coder-30B-A3B",
            {"model_type": "qwen3_moe", **_EXPERTS},
            "Qwen3MoeForCausalLM",
            router_loss=True,
        ),
        mftkit.Family(
            "Qwen3-Next, Qwen3-Coder-Next",
            {"model_type": "qwen3_next", **_LINEAR},
            "Qwen3NextForCausalLM",
            attentions=(),
            leaks=KEEPS_STATE,
            router_loss=True,
        ),
        mftkit.Family(
            "Qwen 3.5 (text)",
            {"model_type": "qwen3_5_text", **GROUPED, **LINEAR},
            "Qwen3_5ForCausalLM",
            attentions=(),
            leaks=KEEPS_STATE,
        ),
        mftkit.Family(
            "Qwen 3.5 MoE (text)",
            {
                "model_type": "qwen3_5_moe_text",
                **{k: v for k, v in _LINEAR.items() if k != "intermediate_size"},
            },
            "Qwen3_5MoeForCausalLM",
            attentions=(),
            leaks=KEEPS_STATE,
            router_loss=True,
        ),
    )
