"""GLM-4 to 4.7, which are part of transformers; ChatGLM came with its own code (chatglm.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.models.deepseek import balance_by_sample
from mftkit_plugins.models.formats import GLM_4
from mftkit_plugins.models.tiny import EXPERTS, GROUPED

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit import RouterOutputs

_HEADS = {**GROUPED, "head_dim": 16}


class GLM(mftkit.MoEAdapter):
    """``GlmForCausalLM`` (GLM-4-9B), ``Glm4ForCausalLM`` (GLM-4-0414, Z1) and ``Glm4MoeForCausalLM`` (4.5 to 4.7).

    The last has no router loss in transformers; its report names one like that of DeepSeek-V3.
    """

    model_types = ("glm", "glm4", "glm4_moe")
    instruct_formats = (GLM_4,)
    pad_tokens = ("<|endoftext|>",)
    usual_coefficient = 0.0001
    """The coefficient in the report of GLM-4.5."""
    families = (
        mftkit.Family("GLM-4-9B", {"model_type": "glm", **_HEADS}, "GlmForCausalLM"),
        mftkit.Family("GLM-4-0414, GLM-Z1", {"model_type": "glm4", **_HEADS}, "Glm4ForCausalLM"),
        mftkit.Family(
            "GLM-4.5, 4.6, 4.7",
            {
                "model_type": "glm4_moe", **EXPERTS, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 2,
                "topk_group": 1, "moe_intermediate_size": 64, "first_k_dense_replace": 1,
            },
            "Glm4MoeForCausalLM",
            router_loss=True,
            note="the bias that balances its router stays fixed; its small loss is that of DeepSeek-V3, as its report "
            "(arXiv 2508.06471) says",
        ),
    )  # fmt: skip

    def balance_loss(
        self,
        model: PreTrainedModel,  # noqa: ARG002
        batch: mftkit.Batch,
        routed: RouterOutputs,
    ) -> Tensor | None:
        """Return the loss of each sample by itself, as for DeepSeek-V3."""
        return balance_by_sample(batch, routed, by_softmax=False)
