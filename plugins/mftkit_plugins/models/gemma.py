"""Gemma 1 to 3: a head tied to the embeddings; Gemma 2 also caps its logits and its attention scores."""

from __future__ import annotations

import mftkit
from mftkit_plugins.models.formats import GEMMA
from mftkit_plugins.models.tiny import GROUPED, WINDOW

_HEADS = {**GROUPED, "head_dim": 16}
_WINDOWS = {
    **_HEADS,
    **WINDOW,
    "query_pre_attn_scalar": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}


class Gemma(mftkit.NativeAdapter):
    """``GemmaForCausalLM``, ``Gemma2ForCausalLM`` and ``Gemma3ForCausalLM``, text only."""

    model_types = ("gemma", "gemma2", "gemma3_text")
    instruct_formats = (GEMMA,)
    pad_tokens = ("<pad>",)
    families = (
        mftkit.Family("Gemma, CodeGemma", {"model_type": "gemma", **_HEADS}, "GemmaForCausalLM"),
        mftkit.Family(
            "Gemma 2",
            {"model_type": "gemma2", **_WINDOWS},
            "Gemma2ForCausalLM",
            attentions=("eager",),
            note="caps its logits, in the chunked head too; sdpa cannot cap scores, so transformers does not offer it",
        ),
        mftkit.Family("Gemma 3 (text)", {"model_type": "gemma3_text", **_WINDOWS}, "Gemma3ForCausalLM"),
    )
