"""Qwen 1, converted to ``Qwen2ForCausalLM``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, ClassVar, cast

import mftkit
from mftkit import LegacyConfig, MftWarning
from mftkit_plugins.models.tiny import ORIGINAL

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Qwen2Config

    from mftkit import Conversion, JsonObject, Reporter
    from mftkit_plugins.models.alibi import Cache

EXACT_LENGTH = "original_seq_length"
"""Key of a converted config: the number of tokens up to which the native class evaluates as the original code does."""


class Qwen1(mftkit.ConvertedAdapter):
    """``Qwen2ForCausalLM``; ``w2`` is the gate, ``w1`` the up projection, each half of ``intermediate_size``."""

    original_types = ("qwen",)
    turn_ends = ("<|im_end|>",)
    families: ClassVar[tuple[mftkit.Family, ...]] = (
        mftkit.Family(
            "Qwen 1",
            {
                "model_type": "qwen",
                "vocab_size": 128,
                "hidden_size": 64,
                "intermediate_size": 256,
                "kv_channels": 16,
                "layer_norm_epsilon": 1e-6,
                "num_attention_heads": 4,
                "num_hidden_layers": 2,
                "max_position_embeddings": 256,
                "seq_length": 64,
                "rotary_emb_base": 10000,
            },
            "Qwen2ForCausalLM",
            compared_with=ORIGINAL,
            note="converted; evaluation beyond `seq_length` differs from the original",
        ),
    )

    def conversion(self, config: JsonObject) -> Conversion:
        """Rename the weights, and split the packed q, k and v."""
        from transformers import Qwen2ForCausalLM
        from transformers.core_model_loading import WeightRenaming

        from mftkit import Conversion
        from mftkit_plugins.models.weights import split_qkv

        return Conversion(
            Qwen2ForCausalLM,
            _qwen2_config(LegacyConfig("Qwen", config)),
            [
                WeightRenaming("transformer.wte", "model.embed_tokens"),
                WeightRenaming("transformer.ln_f", "model.norm"),
                WeightRenaming(r"transformer\.h\.", "model.layers."),
                WeightRenaming("ln_1", "input_layernorm"),
                WeightRenaming("ln_2", "post_attention_layernorm"),
                WeightRenaming("attn.c_proj", "self_attn.o_proj"),
                WeightRenaming("mlp.w1", "mlp.up_proj"),
                WeightRenaming("mlp.w2", "mlp.gate_proj"),
                WeightRenaming("mlp.c_proj", "mlp.down_proj"),
                split_qkv("attn.c_attn"),
            ],
        )

    def prepare(self, model: PreTrainedModel, config: JsonObject) -> None:  # noqa: ARG002
        """Make the model warn, once, when it evaluates a text that the original code would evaluate differently."""
        limit = getattr(model.config, EXACT_LENGTH, None)
        if isinstance(limit, int):
            model.register_forward_pre_hook(_WarnBeyond(limit), with_kwargs=True)

    def describe(self, config: JsonObject, max_length: int | None, reporter: Reporter) -> None:
        """Report the conversion, and warn of rows beyond ``seq_length``, which only train like the original."""
        super().describe(config, max_length, reporter)
        if self.converts(config) and max_length is not None:
            limit = _exact_length(LegacyConfig("Qwen", config))
            if limit is not None and max_length > limit:
                reporter.warn(
                    f"max_length {max_length}: {_beyond(limit)}; training is the same at any length"
                )

    def original_tokenizer(
        self,
        path: str,
        config: JsonObject,  # noqa: ARG002
    ) -> PreTrainedTokenizerBase | None:
        """Load the tokenizer from ``qwen.tiktoken``."""
        from mftkit_plugins.models.qwen1_tokenizer import qwen1_tokenizer

        return qwen1_tokenizer(path)


class _WarnBeyond:
    """A forward pre-hook that warns of the first evaluation beyond a number of tokens."""

    def __init__(self, limit: int) -> None:
        self.limit, self.warned = limit, False

    def __call__(self, model: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        tokens = cast("Tensor | None", args[0] if args else kwargs.get("input_ids"))
        cache = cast("Cache | None", kwargs.get("past_key_values"))
        if model.training or self.warned or tokens is None:
            return
        if tokens.shape[-1] + (0 if cache is None else cache.get_seq_length()) > self.limit:
            self.warned = True
            warnings.warn(_beyond(self.limit), MftWarning, stacklevel=2)


def _beyond(limit: int) -> str:
    return (
        f"Qwen 1's own code scales attention for texts of more than seq_length {limit} tokens in evaluation "
        "(dynamic NTK and log-n scaling), so its logits differ there from those of the converted model"
    )


def _exact_length(original: LegacyConfig) -> int | None:
    scaled = original.flag("use_dynamic_ntk", True) or original.flag("use_logn_attn", True)
    return original.positive_int("seq_length") if scaled else None


def _qwen2_config(original: LegacyConfig) -> Qwen2Config:
    from transformers import Qwen2Config

    values = original.values
    original.refuse("no_bias", True, True, why="Qwen2 has a bias in q, k and v only")
    original.refuse("rotary_pct", 1.0, 1, 1.0, why="Qwen2 rotates all of each head")
    original.refuse("scale_attn_weights", True, True, why="Qwen2 always scales its attention")
    heads, hidden = original.positive_int("num_attention_heads"), original.positive_int("hidden_size")
    channels = original.positive_int("kv_channels")
    if channels * heads != hidden:
        raise original.error("kv_channels", channels, f"times {heads} heads is not hidden_size {hidden}")
    limit = _exact_length(original)
    mark: JsonObject = {} if limit is None else {EXACT_LENGTH: limit}
    return Qwen2Config(
        vocab_size=original.positive_int("vocab_size"),
        hidden_size=hidden,
        intermediate_size=original.positive_int("intermediate_size") // 2,
        num_hidden_layers=original.positive_int("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        rms_norm_eps=original.number("layer_norm_epsilon"),
        max_position_embeddings=original.positive_int("max_position_embeddings", values.get("seq_length")),
        rope_parameters={"rope_type": "default", "rope_theta": original.positive("rotary_emb_base")},
        attention_dropout=original.number("attn_dropout_prob", 0.0),
        tie_word_embeddings=original.flag("tie_word_embeddings", False),
        bos_token_id=values.get("bos_token_id"),
        eos_token_id=values.get("eos_token_id"),
        pad_token_id=values.get("pad_token_id"),
        **original.kept("initializer_range", "use_cache"),
        **mark,
    )
