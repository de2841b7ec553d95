"""ChatGLM2, ChatGLM3 and CodeGeeX2, converted to ``GlmForCausalLM``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit import LegacyConfig
from mftkit_plugins.models.tiny import ORIGINAL

if TYPE_CHECKING:
    from transformers import GlmConfig, PreTrainedTokenizerBase

    from mftkit import Conversion, JsonObject

ROPE_BASE = 10000.0
"""Base of the rotary embedding in the original code; ``rope_ratio`` in the config multiplies it."""


class ChatGlm(mftkit.ConvertedAdapter):
    """``GlmForCausalLM``: the same arithmetic under other names.

    The rotary embedding rotates pairs of neighbors in the first half of each head, as Glm's does, so no weight has to
    be permuted.
    """

    original_types = ("chatglm",)
    turn_ends = ("<|user|>", "<|observation|>")
    families = (
        mftkit.Family(
            "ChatGLM2, ChatGLM3, CodeGeeX2",
            {
                "model_type": "chatglm",
                "padded_vocab_size": 128,
                "hidden_size": 64,
                "ffn_hidden_size": 128,
                "num_layers": 2,
                "num_attention_heads": 4,
                "kv_channels": 16,
                "multi_query_attention": True,
                "multi_query_group_num": 2,
                "add_qkv_bias": True,
                "add_bias_linear": False,
                "layernorm_epsilon": 1e-5,
                "seq_length": 128,
                "eos_token_id": 2,
                "pad_token_id": 0,
            },
            "GlmForCausalLM",
            compared_with=ORIGINAL,
            note="converted",
        ),
    )

    def conversion(self, config: JsonObject) -> Conversion:
        """Rename the weights, and split q, k and v, which ``multi_query_attention: false`` packs head by head."""
        from transformers import GlmForCausalLM
        from transformers.core_model_loading import WeightRenaming

        from mftkit import Conversion
        from mftkit_plugins.models.weights import FromHeads, split_qkv

        original = LegacyConfig("ChatGLM", config)
        _refuse(original)
        grouped = original.flag("multi_query_attention", False)
        heads = original.positive_int("num_attention_heads")
        return Conversion(
            GlmForCausalLM,
            _glm_config(original, heads, grouped),
            [
                WeightRenaming("transformer.embedding.word_embeddings", "model.embed_tokens"),
                WeightRenaming("transformer.encoder.final_layernorm", "model.norm"),
                WeightRenaming("transformer.encoder.layers", "model.layers"),
                WeightRenaming("transformer.output_layer", "lm_head"),
                WeightRenaming("self_attention.dense", "self_attn.o_proj"),
                WeightRenaming("mlp.dense_h_to_4h", "mlp.gate_up_proj"),
                WeightRenaming("mlp.dense_4h_to_h", "mlp.down_proj"),
                split_qkv("self_attention.query_key_value", *([] if grouped else [FromHeads(heads)])),
            ],
        )

    def conversion_notes(self, config: JsonObject) -> list[str]:
        """Return notes on dropout of the residual stream, which Glm lacks, and on ``rope_ratio``."""
        original = LegacyConfig("ChatGLM", config)
        dropout, ratio = original.number("hidden_dropout", 0.0), original.positive("rope_ratio", 1.0)
        notes = [f"hidden_dropout {dropout:g} is ignored: the native class has none"] if dropout else []
        if ratio != 1:
            notes.append(
                f"rope_ratio {ratio:g} multiplies the base of the rotary embedding, as in ChatGLM3's code; a ChatGLM2 "
                "whose code divides positions by it (ChatGLM2-6B-32k reportedly does) is a different model: compare "
                "outputs before training"
            )
        return notes

    def original_tokenizer(self, path: str, config: JsonObject) -> PreTrainedTokenizerBase | None:
        """Load the sentencepiece model, followed by the command tokens."""
        from mftkit_plugins.models.chatglm_tokenizer import chatglm_tokenizer

        return chatglm_tokenizer(path, config)


def _refuse(original: LegacyConfig) -> None:
    """Raise MftError for what Glm lacks."""
    if "position_encoding_2d" in original.values or "inner_hidden_size" in original.values:
        raise mftkit.MftError(
            "model.path: this is the first ChatGLM-6B (position_encoding_2d), whose architecture is not supported; "
            "use ChatGLM2 or later"
        )
    original.refuse("add_bias_linear", False, False, why="Glm's linear layers have no bias")
    original.refuse("rmsnorm", True, True, why="Glm has RMSNorm only")
    original.refuse("post_layer_norm", True, True, why="Glm always has a norm after the last layer")
    original.refuse(
        "apply_residual_connection_post_layernorm",
        False,
        False,
        why="Glm takes the residual before the norm",
    )
    original.refuse(
        "pre_seq_len", None, None, 0, why="Glm has no prefix tuning; use the checkpoint without it"
    )


def _glm_config(original: LegacyConfig, heads: int, grouped: bool) -> GlmConfig:
    from transformers import GlmConfig

    values = original.values
    return GlmConfig(
        vocab_size=original.positive_int("padded_vocab_size", values.get("vocab_size")),
        hidden_size=original.positive_int("hidden_size"),
        intermediate_size=original.positive_int("ffn_hidden_size"),
        num_hidden_layers=original.positive_int("num_layers"),
        num_attention_heads=heads,
        num_key_value_heads=original.positive_int("multi_query_group_num") if grouped else heads,
        head_dim=original.positive_int("kv_channels"),
        attention_bias=original.flag("add_qkv_bias", False),
        attention_dropout=original.number("attention_dropout", 0.0),
        rms_norm_eps=original.number("layernorm_epsilon"),
        max_position_embeddings=original.positive_int("seq_length"),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": ROPE_BASE * original.positive("rope_ratio", 1.0),
            "partial_rotary_factor": 0.5,
        },
        # Always set: Glm's own defaults may lie beyond a small vocabulary.
        bos_token_id=values.get("bos_token_id"),
        eos_token_id=values.get("eos_token_id"),
        pad_token_id=values.get("pad_token_id"),
        tie_word_embeddings=original.flag("tie_word_embeddings", False),
        **original.kept("initializer_range", "use_cache"),
    )
