"""Aquila 2: Llama's architecture under another model type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit import LegacyConfig
from mftkit_plugins.models.tiny import GROUPED, ORIGINAL

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit import Conversion, JsonObject


class Aquila(mftkit.ConvertedAdapter):
    """``LlamaForCausalLM``: names and layouts are the same, so only the config is converted."""

    original_types = ("aquila",)
    families = (
        mftkit.Family(
            "Aquila 2",
            {"model_type": "aquila", **GROUPED, "rms_norm_eps": 1e-5},
            "LlamaForCausalLM",
            compared_with=ORIGINAL,
            note="converted",
        ),
    )

    def conversion(self, config: JsonObject) -> Conversion:
        """Read the config, whose keys are Llama's too."""
        from transformers import LlamaConfig, LlamaForCausalLM

        from mftkit import Conversion

        original = LegacyConfig("Aquila", config)
        original.refuse("attention_bias", False, False, why="Aquila's attention has no bias")
        heads = original.positive_int("num_attention_heads")
        rotary: JsonObject = {"rope_theta": original.positive("rope_theta", 10000.0)}
        native = LlamaConfig(
            vocab_size=original.positive_int("vocab_size"),
            hidden_size=original.positive_int("hidden_size"),
            intermediate_size=original.positive_int("intermediate_size"),
            num_hidden_layers=original.positive_int("num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=original.positive_int("num_key_value_heads", heads),
            hidden_act=original.text("hidden_act", "silu"),
            rms_norm_eps=original.number("rms_norm_eps"),
            max_position_embeddings=original.positive_int("max_position_embeddings"),
            tie_word_embeddings=original.flag("tie_word_embeddings", False),
            bos_token_id=config.get("bos_token_id"),
            eos_token_id=config.get("eos_token_id"),
            pad_token_id=config.get("pad_token_id"),
            **original.kept("initializer_range", "use_cache", "rope_scaling", "head_dim"),
            **rotary,
        )
        return Conversion(LlamaForCausalLM, native, [])

    def original_tokenizer(self, path: str, config: JsonObject) -> PreTrainedTokenizerBase | None:  # noqa: ARG002
        """Load byte-level BPE, from files that transformers can read but rejects for their model type."""
        from mftkit_plugins.models.aquila_tokenizer import aquila_tokenizer

        return aquila_tokenizer(path)
