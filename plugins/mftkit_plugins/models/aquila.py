"""Aquila 2, whose parameters are Llama's under another name of the family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit
from mftkit import LegacyConfig
from mftkit_plugins.models.tiny import GROUPED, ORIGINAL

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit import Conversion


class Aquila(mftkit.ConvertedAdapter):
    """``LlamaForCausalLM``: the same names and layouts, so that the config alone is converted."""

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

    def conversion(self, config: dict[str, Any]) -> Conversion:
        """The config's keys are Llama's, too."""
        from transformers import LlamaConfig, LlamaForCausalLM

        from mftkit import Conversion

        original = LegacyConfig("Aquila", config)
        original.refuse("attention_bias", False, False, why="Aquila's attention has no bias")
        heads = original.whole("num_attention_heads")
        rotary: dict[str, Any] = {"rope_theta": original.positive("rope_theta", 10000.0)}
        native = LlamaConfig(
            vocab_size=original.whole("vocab_size"),
            hidden_size=original.whole("hidden_size"),
            intermediate_size=original.whole("intermediate_size"),
            num_hidden_layers=original.whole("num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=original.whole("num_key_value_heads", heads),
            hidden_act=original.text("hidden_act", "silu"),
            rms_norm_eps=original.number("rms_norm_eps"),
            max_position_embeddings=original.whole("max_position_embeddings"),
            tie_word_embeddings=original.flag("tie_word_embeddings", False),
            bos_token_id=config.get("bos_token_id"),
            eos_token_id=config.get("eos_token_id"),
            pad_token_id=config.get("pad_token_id"),
            **original.kept("initializer_range", "use_cache", "rope_scaling", "head_dim"),
            **rotary,
        )
        return Conversion(LlamaForCausalLM, native, [])

    def original_tokenizer(self, path: str, config: dict[str, Any]) -> PreTrainedTokenizerBase | None:  # noqa: ARG002
        """Byte-level BPE, in files that transformers reads; only its automatic choice does not know the family."""
        from mftkit_plugins.models.aquila_tokenizer import aquila_tokenizer

        return aquila_tokenizer(path)
