"""Models of a few thousand parameters, for checks of adapters and tunings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from mftkit.base.reasons import reason
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.interfaces.model import LoadRequest
from mftkit.models.config import TEXT_PART, build_config, known_keys, read_config
from mftkit.models.native import NativeAdapter
from mftkit.testing.assertions import ConformanceError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import ModelAdapter

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
PARTS = {
    "head_dim": 8,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "index_n_heads": 2,
    "index_head_dim": 8,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 8,
    "d_rel": 4,
    "rel_extent": 64,
    "moe_intermediate_size": 16,
    "intermediate_size_mlp": 48,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "n_shared_experts": 1,
    "moe_num_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "mlp_layer_types": ["dense", "sparse"],
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 64,
    "num_kv_shared_layers": 0,
    "laurel_rank": 8,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "attn_layer_indices": [1],
    "layer_group_size": 2,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "mamba_d_ssm": 64,
    "rotary_dim": 8,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
}
"""Sizes of heads, experts and recurrent layers, for families that ``SIZES`` alone leave large or inconsistent."""
UNGROUPED = {"num_key_value_heads": 4}
"""For latent attention, which has no groups of heads."""
OWN: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global"], 2]], "num_layers": 2},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "zaya": {"num_experts_per_tok": 1},
}
"""What single families need; for some, the layers of the published models, where transformers' default is others."""
MOST_PARAMETERS = 400_000
TOO_LARGE = "too large"
"""Why there is no tiny config, where the sizes fit together."""
TEXT = "def add(a, b):\n    return a + b\n\nAdd two numbers, and print them.\n"
"""What a tiny tokenizer is trained on."""
PLAIN = "olmo2"
"""A family without special features, preferred if an adapter matches any family."""


class AnyAdapter(NativeAdapter):
    """Adapter of any transformers model, for checks of tunings."""

    def matches(self, config: dict[str, Any]) -> int:  # noqa: ARG002
        """Return 1: matches everything, as a fallback."""
        return 1


def from_random(adapter: ModelAdapter, config: dict[str, Any], **request: Any) -> PreTrainedModel:
    """Return a float32 model in evaluation mode, randomly initialized with a fixed seed."""
    requested = {"dtype": torch.float32, "attention": "auto", **request}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, _ = adapter.load(LoadRequest(None, dict(config), init="random", **requested))
    model.train(False)
    return model


def from_disk(adapter: ModelAdapter, directory: Path, **request: Any) -> PreTrainedModel:
    """Return the float32 model in a directory, in evaluation mode."""
    requested = {"dtype": torch.float32, "attention": "auto", **request}
    model, _ = adapter.load(LoadRequest(str(directory), read_config(str(directory)), **requested))
    model.train(False)
    return model


def logits(model: Any) -> Tensor:
    """Return float32 logits [1, 12, vocabulary] of fixed tokens."""
    with torch.no_grad():
        found: Tensor = model(input_ids=inputs(), use_cache=False).logits
    return found.float()


@cache
def tiny_tokenizer(added: tuple[str, ...] = ()) -> PreTrainedTokenizerBase:
    """Return a small byte-level tokenizer with these added tokens and an end of text."""
    tokenizer = train_bpe([TEXT] * 3, 300)
    tokenizer.add_special_tokens({"extra_special_tokens": list(added)})
    return tokenizer


def inputs() -> Tensor:
    """Return fixed token ids [1, 12]."""
    return (torch.arange(12) * 7 + 3).remainder(SIZES["vocab_size"]).unsqueeze(0)


def config_for(adapter: ModelAdapter) -> dict[str, Any]:
    """Return a tiny config for one of the transformers model types that an adapter matches best.

    Raises ConformanceError if there is none; then a config must be given.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    ranks = {name: adapter.matches({"model_type": name}) for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    best = max(ranks.values())
    matched = [name for name, rank in ranks.items() if rank == best > 0]
    for name in sorted(matched, key=lambda name: (name != PLAIN, name)):
        config = tiny_config(name)
        if config is not None:
            return config
    raise ConformanceError(
        "no tiny model can be made for a family that the adapter matches: give a config (``config`` of the "
        "suite, or --config of the command)"
    )


def tiny_config(model_type: str) -> dict[str, Any] | None:
    """Return a config with the sizes that the family reads; None if they do not make a small model."""
    config, _ = try_tiny_config(model_type)
    return config


def try_tiny_config(model_type: str) -> tuple[dict[str, Any] | None, str]:
    """Return a config as ``tiny_config`` and "", or None and why there is none."""
    why = ""
    for sizes in (SIZES, SIZES | PARTS, SIZES | PARTS | UNGROUPED):
        try:
            config = _with_sizes(model_type, sizes)
            if _parameters(config) <= MOST_PARAMETERS:
                logits(from_random(AnyAdapter(AnyAdapter.Options()), config))
                return config, ""
            why = TOO_LARGE
        except Exception as error:  # the sizes do not fit together in this family
            why = reason(error)
    return None, why


def _with_sizes(model_type: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """A config with those of the sizes that the family reads, of a composite type in the part for text."""
    from transformers import CONFIG_MAPPING, AutoConfig

    config_class = CONFIG_MAPPING[model_type]
    outer, inner = known_keys(config_class), config_class.sub_configs.get(TEXT_PART)
    if inner in (None, AutoConfig) or "vocab_size" in outer:
        return {"model_type": model_type, **_known(sizes, outer), **OWN.get(model_type, {})}
    return {"model_type": model_type, TEXT_PART: _known(sizes, known_keys(inner))}


def _known(sizes: dict[str, Any], known: set[str]) -> dict[str, Any]:
    return {key: size for key, size in sizes.items() if key in known}


def _parameters(config: dict[str, Any]) -> int:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(build_config(config))  # type: ignore[no-untyped-call]
    return sum(parameter.numel() for parameter in model.parameters())
