"""Baichuan 1 and 2, converted to ``LlamaForCausalLM``: 7B as it is, 13B with ALiBi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit
from mftkit import LegacyConfig
from mftkit_plugins.models.tiny import ATTENTION, ORIGINAL

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit import Conversion

_TINY = {"model_type": "baichuan", **ATTENTION, "rms_norm_eps": 1e-6, "model_max_length": 128}
FIRST_VOCABULARY = 64000
"""Of the first generation; the second has 125696."""


class Baichuan(mftkit.ConvertedAdapter):
    """``LlamaForCausalLM``; 13B has ALiBi in place of the rotary embedding, which is added to the plain class."""

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
            note="converted; the normalised head is folded on load",
        ),
        mftkit.Family(
            "Baichuan 1 and 2 13B",
            {key: value for key, value in _TINY.items() if key != "max_position_embeddings"},
            "LlamaForCausalLM",
            compared_with=ORIGINAL,
            plain=False,
            note="converted; ALiBi, which transformers' Llama has not: a saved model needs `mftkit.load_model`",
        ),
    )

    def conversion(self, config: dict[str, Any]) -> Conversion:
        """q, k and v apart; Baichuan 2's head normalised once and for all."""
        from transformers import LlamaForCausalLM
        from transformers.core_model_loading import WeightConverter

        from mftkit import Conversion
        from mftkit_plugins.models.weights import UnitRows, split_qkv

        weights = [split_qkv("self_attn.W_pack")]
        if has_normalised_head(config):
            weights.append(WeightConverter("lm_head.weight", "lm_head.weight", operations=[UnitRows()]))
        return Conversion(LlamaForCausalLM, _llama_config(config), weights)

    def prepare(self, model: PreTrainedModel, config: dict[str, Any]) -> None:  # noqa: ARG002
        """ALiBi, where the native config names it."""
        from mftkit_plugins.models import alibi

        if alibi.is_marked(model.config):
            alibi.attach(model)

    def remarks(self, config: dict[str, Any]) -> list[str]:
        """The folded head, and ALiBi."""
        told = []
        if has_normalised_head(config):
            told.append(
                "the head's rows are normalised once, on load: a full fine-tune trains the folded head, which "
                "cannot be written back to the original layout without loss"
            )
        if has_alibi(config):
            told.append(
                "positions are ALiBi's, which mftkit adds to the plain Llama class; transformers alone does not"
            )
        return told

    def original_tokenizer(self, path: str, config: dict[str, Any]) -> PreTrainedTokenizerBase | None:
        """The sentencepiece model, with the tokens that the instruct models use for turns."""
        from mftkit_plugins.models.baichuan_tokenizer import baichuan_tokenizer

        return baichuan_tokenizer(path, is_second(config))


def has_alibi(config: dict[str, Any]) -> bool:
    """Whether it is a 13B: those have no ``max_position_embeddings``."""
    return config.get("max_position_embeddings") is None


def is_second(config: dict[str, Any]) -> bool:
    """Whether it is a Baichuan 2.

    The first 7B spells its class BaiChuan; the first 13B shares the second's name, and is known by its
    vocabulary.
    """
    named = str([config.get("architectures"), config.get("auto_map")])
    if "BaiChuan" in named:
        return False
    by_name = "Baichuan" in named and not has_alibi(config)
    return by_name or config.get("vocab_size") != FIRST_VOCABULARY


def has_normalised_head(config: dict[str, Any]) -> bool:
    """Whether logits are taken with the rows of the head at unit length: Baichuan 2's NormHead."""
    return is_second(config)


def _llama_config(config: dict[str, Any]) -> Any:
    from transformers import LlamaConfig

    from mftkit_plugins.models import alibi

    original = LegacyConfig("Baichuan", config)
    if has_normalised_head(config):
        original.refuse("tie_word_embeddings", False, False, why="a normalised head is not the embedding")
    original.refuse("rope_scaling", None, None, why="the original code has no such thing")
    heads = original.whole("num_attention_heads")
    length = "model_max_length" if has_alibi(config) else "max_position_embeddings"
    marks: dict[str, Any] = {alibi.KEY: alibi.NAME} if has_alibi(config) else {}
    return LlamaConfig(
        vocab_size=original.whole("vocab_size"),
        hidden_size=original.whole("hidden_size"),
        intermediate_size=original.whole("intermediate_size"),
        num_hidden_layers=original.whole("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        hidden_act=original.text("hidden_act", "silu"),
        rms_norm_eps=original.number("rms_norm_eps"),
        max_position_embeddings=original.whole(length, 4096),
        rope_parameters={"rope_type": "default", "rope_theta": original.positive("rope_theta", 10000.0)},
        tie_word_embeddings=original.flag("tie_word_embeddings", False),
        bos_token_id=config.get("bos_token_id"),
        eos_token_id=config.get("eos_token_id"),
        pad_token_id=config.get("pad_token_id"),
        **original.kept("initializer_range", "use_cache"),
        **marks,
    )
