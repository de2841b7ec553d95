"""DeepSeek-V4: attention to compressed blocks of earlier tokens, and experts chosen by a hash in the first layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.models.tiny import EXPERTS, WINDOW

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SIZES = {key: value for key, value in EXPERTS.items() if key != "intermediate_size"}


class DeepSeekV4(mftkit.MoEAdapter):
    """``DeepseekV4ForCausalLM``."""

    model_types = ("deepseek_v4",)
    pad_tokens = ("<｜▁pad▁｜>",)
    families = (
        mftkit.Family(
            "DeepSeek-V4",
            {
                "model_type": "deepseek_v4", **_SIZES, **WINDOW, "num_hidden_layers": 3, "num_key_value_heads": 1,
                "layer_types": ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"],
                "compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 4},
                "mlp_layer_types": ["hash_moe", "moe", "moe"], "n_routed_experts": 4, "n_shared_experts": 1,
                "moe_intermediate_size": 64, "router_aux_loss_coef": 0.01, "head_dim": 32, "q_lora_rank": 64,
                "o_groups": 2, "o_lora_rank": 64, "index_n_heads": 2, "index_head_dim": 16, "index_topk": 4,
                "hc_mult": 2, "partial_rotary_factor": 0.5,
            },
            "DeepseekV4ForCausalLM",
            attentions=(),
            leaks="compresses blocks of tokens across packed samples",
            router_loss=True,
            note="transformers offers neither sdpa nor flash attention",
        ),
    )  # fmt: skip

    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        """Return the linear layers except the first output projection, which is used in groups of heads."""
        return [name for name in super().lora_targets(model) if name != "o_a_proj"]
