"""Baichuan 1 and 2, converted to ``LlamaForCausalLM``: 7B unchanged, 13B with ALiBi."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit
from mftkit import LegacyConfig
from mftkit_plugins.models.tiny import ATTENTION, ORIGINAL

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedModel, PreTrainedTokenizerBase

    from mftkit import Conversion, JsonObject

_TINY: JsonObject = {"model_type": "baichuan", **ATTENTION, "rms_norm_eps": 1e-6, "model_max_length": 128}
FIRST_VOCABULARY = 64000
"""Vocabulary size of the first generation; the second has 125696."""


class Baichuan(mftkit.ConvertedAdapter):
    """``LlamaForCausalLM``; for 13B, ALiBi is added to the plain class in place of the rotary embedding."""

    original_types = ("baichuan",)
    families = (
        mftkit.Family(
            "Baichuan 1 7B",
            {**_TINY, "architectures": ["BaiChuanForCausalLM"]},
            "LlamaForCausalLM",
            compared_with=ORIGINAL,
            note="converted",
        ),
        mftkit.Family(
            "Baichuan 2 7B",
            {**_TINY, "architectures": ["BaichuanForCausalLM"]},
            "LlamaForCausalLM",
            compared_with=ORIGINAL,
            note="converted; the normalized head is folded on load",
        ),
        mftkit.Family(
            "Baichuan 1 and 2 13B",
            {key: value for key, value in _TINY.items() if key != "max_position_embeddings"},
            "LlamaForCausalLM",
            compared_with=ORIGINAL,
            plain=False,
            note="converted; ALiBi, which transformers' Llama lacks: a saved model needs `mftkit.load_model`",
        ),
    )

    def conversion(self, config: JsonObject) -> Conversion:
        """Split the packed q, k and v; normalize Baichuan 2's head once."""
        from transformers import LlamaForCausalLM
        from transformers.core_model_loading import WeightConverter

        from mftkit import Conversion
        from mftkit_plugins.models.weights import UnitRows, split_qkv

        weights = [split_qkv("self_attn.W_pack")]
        if has_normalized_head(config):
            weights.append(WeightConverter("lm_head.weight", "lm_head.weight", operations=[UnitRows()]))
        return Conversion(LlamaForCausalLM, _llama_config(config), weights)

    def prepare(self, model: PreTrainedModel, config: JsonObject) -> None:  # noqa: ARG002
        """Add ALiBi if the native config asks for it."""
        from mftkit_plugins.models import alibi

        if alibi.is_marked(model.config):
            alibi.attach(model)

    def conversion_notes(self, config: JsonObject) -> list[str]:
        """Return notes on the folded head and on ALiBi."""
        notes = []
        if has_normalized_head(config):
            notes.append(
                "the head's rows are normalized once, on load: full fine-tuning trains the folded head, which "
                "cannot be written back to the original layout without loss"
            )
        if has_alibi(config):
            notes.append(
                "positions are encoded by ALiBi, which mftkit adds to the plain Llama class; transformers alone "
                "does not"
            )
        return notes

    def original_tokenizer(self, path: str, config: JsonObject) -> PreTrainedTokenizerBase | None:
        """Load the sentencepiece model, with the tokens that the instruct models use for turns."""
        from mftkit_plugins.models.baichuan_tokenizer import baichuan_tokenizer

        return baichuan_tokenizer(path, is_second(config))


def has_alibi(config: JsonObject) -> bool:
    """Return True for 13B, whose configs have no ``max_position_embeddings``."""
    return config.get("max_position_embeddings") is None


def is_second(config: JsonObject) -> bool:
    """Return True for Baichuan 2.

    The first 7B spells its class BaiChuan. The first 13B has the same class name as the second, and is recognized by
    its vocabulary size.
    """
    named = str([config.get("architectures"), config.get("auto_map")])
    if "BaiChuan" in named:
        return False
    by_name = "Baichuan" in named and not has_alibi(config)
    return by_name or config.get("vocab_size") != FIRST_VOCABULARY


def has_normalized_head(config: JsonObject) -> bool:
    """Return True if logits are computed with the head's rows at unit length: Baichuan 2's NormHead."""
    return is_second(config)


def _llama_config(config: JsonObject) -> LlamaConfig:
    from transformers import LlamaConfig

    from mftkit_plugins.models import alibi

    original = LegacyConfig("Baichuan", config)
    if has_normalized_head(config):
        original.refuse(
            "tie_word_embeddings", False, False, why="a normalized head cannot share the embedding's weights"
        )
    original.refuse("rope_scaling", None, None, why="the original code does not scale its rotary embedding")
    heads = original.positive_int("num_attention_heads")
    length = "model_max_length" if has_alibi(config) else "max_position_embeddings"
    marks: JsonObject = {alibi.KEY: alibi.NAME} if has_alibi(config) else {}
    return LlamaConfig(
        vocab_size=original.positive_int("vocab_size"),
        hidden_size=original.positive_int("hidden_size"),
        intermediate_size=original.positive_int("intermediate_size"),
        num_hidden_layers=original.positive_int("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        hidden_act=original.text("hidden_act", "silu"),
        rms_norm_eps=original.number("rms_norm_eps"),
        max_position_embeddings=original.positive_int(length, 4096),
        rope_parameters={"rope_type": "default", "rope_theta": original.positive("rope_theta", 10000.0)},
        tie_word_embeddings=original.flag("tie_word_embeddings", False),
        bos_token_id=config.get("bos_token_id"),
        eos_token_id=config.get("eos_token_id"),
        pad_token_id=config.get("pad_token_id"),
        **original.kept("initializer_range", "use_cache"),
        **marks,
    )
