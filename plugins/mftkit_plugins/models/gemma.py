"""Gemma 1 to 4: a head tied to the embeddings; Gemma 2 and 4 cap their logits, Gemma 2 its attention scores, too."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import GEMMA
from mftkit_plugins.models.tiny import GROUPED, WINDOW

_HEADS = {**GROUPED, "head_dim": 16}
_WINDOWS = {
    **_HEADS,
    **WINDOW,
    "layer_types": ["sliding_attention", "full_attention"],
}
_SCALED = {**_WINDOWS, "query_pre_attn_scalar": 16}
_CAPPED = {**_WINDOWS, "vocab_size_per_layer_input": 128, "final_logit_softcapping": 30.0}


class Gemma(mftkit.MoEAdapter):
    """``GemmaForCausalLM`` to ``Gemma4ForCausalLM``, text only."""

    model_types = ("gemma", "gemma2", "gemma3_text", "gemma4_text")
    instruct_formats = (GEMMA,)
    pad_tokens = ("<pad>",)
    families = (
        mftkit.Family("Gemma, CodeGemma", {"model_type": "gemma", **_HEADS}, "GemmaForCausalLM"),
        mftkit.Family(
            "Gemma 2",
            {"model_type": "gemma2", **_SCALED},
            "Gemma2ForCausalLM",
            attentions=("eager",),
            note="caps its logits, in the chunked head too; sdpa cannot cap scores, so transformers does not offer it",
        ),
        mftkit.Family("Gemma 3 (text)", {"model_type": "gemma3_text", **_SCALED}, "Gemma3ForCausalLM"),
        mftkit.Family(
            "Gemma 4 (text)",
            {"model_type": "gemma4_text", **_CAPPED, "hidden_size_per_layer_input": 16},
            "Gemma4ForCausalLM",
            note="caps its logits, in the chunked head too",
        ),
        mftkit.Family(
            "Gemma 4 MoE (text)",
            {
                "model_type": "gemma4_text",
                **_CAPPED,
                "hidden_size_per_layer_input": 0,
                "enable_moe_block": True,
                "num_experts": 4,
                "top_k_experts": 2,
                "moe_intermediate_size": 64,
            },
            "Gemma4ForCausalLM",
            note="no loss of its router is known",
        ),
    )
