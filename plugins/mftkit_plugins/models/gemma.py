"""Gemma 1 to 4: a head tied to the embeddings; Gemma 2 and 4 cap their logits, Gemma 2 its attention scores, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.models.formats import GEMMA
from mftkit_plugins.models.tiny import GROUPED, WINDOW

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mftkit import DecoderOutputs

_HEADS = {**GROUPED, "head_dim": 16}
_WINDOWS = {
    **_HEADS,
    **WINDOW,
    "layer_types": ["sliding_attention", "full_attention"],
}
_SCALED = {**_WINDOWS, "query_pre_attn_scalar": 16}
_CAPPED = {**_WINDOWS, "vocab_size_per_layer_input": 128, "final_logit_softcapping": 30.0}
_PER_LAYER = {**_CAPPED, "hidden_size_per_layer_input": 16}
_IMAGES = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
_SIGLIP = {**_IMAGES, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8}
_GEMMA4_IMAGES = {
    **_IMAGES, "model_type": "gemma4_vision", "num_key_value_heads": 2, "head_dim": 32, "position_embedding_size": 16,
}  # fmt: skip
_TEXT_ONLY = "trained on text; what reads images stays as it is"


class Gemma(mftkit.MoEAdapter):
    """``GemmaForCausalLM`` to ``Gemma4ForCausalLM``, and Gemma 3 and 4 with their parts for images, on text only."""

    model_types = ("gemma", "gemma2", "gemma3_text", "gemma3", "gemma4_text", "gemma4")
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
            "Gemma 3",
            {
                "model_type": "gemma3",
                "text_config": _SCALED,
                "vision_config": _SIGLIP,
                "mm_tokens_per_image": 4,
            },
            "Gemma3ForConditionalGeneration",
            note=_TEXT_ONLY,
        ),
        mftkit.Family(
            "Gemma 4 (text)",
            {"model_type": "gemma4_text", **_PER_LAYER},
            "Gemma4ForCausalLM",
            note="caps its logits, in the chunked head too",
        ),
        mftkit.Family(
            "Gemma 4",
            {"model_type": "gemma4", "text_config": _PER_LAYER, "vision_config": _GEMMA4_IMAGES},
            "Gemma4ForConditionalGeneration",
            note=f"caps its logits, in the chunked head too; {_TEXT_ONLY}",
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

    def outputs(self, model: PreTrainedModel, batch: mftkit.Batch) -> DecoderOutputs:
        """Return the decoder's outputs; raise MftError if its second table of embeddings lacks tokens."""
        _check_second_table(model)
        return super().outputs(model, batch)

    def head(self, model: PreTrainedModel) -> mftkit.Head:
        """Return the output layer; raises as ``outputs``, which a dry run does not call."""
        _check_second_table(model)
        return super().head(model)


def _check_second_table(model: PreTrainedModel) -> None:
    """Raise MftError if the embeddings that each layer of Gemma 4 adds lack tokens of the vocabulary."""
    config = model.config.get_text_config()
    rows = getattr(config, "vocab_size_per_layer_input", None)
    if rows is None or not config.hidden_size_per_layer_input or rows >= config.vocab_size:
        return
    raise mftkit.MftError(
        f"model.config: vocab_size_per_layer_input is {rows:,}, less than the vocabulary of {config.vocab_size:,} "
        "tokens, so the layers cannot read all of them; set it to at least that, or hidden_size_per_layer_input to 0"
    )
