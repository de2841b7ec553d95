"""Models of a few thousand parameters, for checks of adapters and tunings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.interfaces.model import LoadRequest
from mftkit.models.config import build_config, known_keys, read_config
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
MOST_PARAMETERS = 200_000
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
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    try:
        known = known_keys(CONFIG_MAPPING[model_type])
        config = {"model_type": model_type, **{key: SIZES[key] for key in SIZES if key in known}}
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(build_config(config))  # type: ignore[no-untyped-call]
    except Exception:  # the sizes do not fit together in this family
        return None
    size = sum(parameter.numel() for parameter in model.parameters())
    return config if size <= MOST_PARAMETERS else None
