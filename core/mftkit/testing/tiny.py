"""Models of a few thousand parameters, to try adapters and tunings on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mftkit.interfaces.model import LoadRequest
from mftkit.models.config import build_config, known_keys, read_config
from mftkit.models.native import NativeAdapter
from mftkit.testing.assertions import ConformanceError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel

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
PLAIN = "olmo2"
"""A family without peculiarities, for whatever takes any."""


class AnyAdapter(NativeAdapter):
    """Whatever transformers has, for the tunings."""

    def matches(self, config: dict[str, Any]) -> int:  # noqa: ARG002
        """Everything, weakly."""
        return 1


def from_random(adapter: ModelAdapter, config: dict[str, Any], **request: Any) -> PreTrainedModel:
    """A float32 model from a random start, always the same, in evaluation mode."""
    asked = {"dtype": torch.float32, "attention": "auto", **request}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, _ = adapter.load(LoadRequest(None, dict(config), init="random", **asked))
    model.train(False)
    return model


def from_disk(adapter: ModelAdapter, directory: Path, **request: Any) -> PreTrainedModel:
    """The float32 model in a directory, in evaluation mode."""
    asked = {"dtype": torch.float32, "attention": "auto", **request}
    model, _ = adapter.load(LoadRequest(str(directory), read_config(str(directory)), **asked))
    model.train(False)
    return model


def logits(model: Any) -> Tensor:
    """[1, 12, vocabulary] float32, of always the same tokens."""
    with torch.no_grad():
        found: Tensor = model(input_ids=inputs(), use_cache=False).logits
    return found.float()


def inputs() -> Tensor:
    """[1, 12] token ids."""
    return (torch.arange(12) * 7 + 3).remainder(SIZES["vocab_size"]).unsqueeze(0)


def config_for(adapter: ModelAdapter) -> dict[str, Any]:
    """A tiny config that an adapter matches: of the model types of transformers that it matches best.

    Raises ConformanceError where there is none, so that a config must be given.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    ranks = {name: adapter.matches({"model_type": name}) for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    best = max(ranks.values())
    matched = [name for name, rank in ranks.items() if rank == best > 0]
    for name in sorted(matched, key=lambda name: (name != PLAIN, name)):
        config = _tiny_config(name)
        if config is not None:
            return config
    raise ConformanceError(
        "no tiny model could be made of a family that the adapter matches: give a config (``config`` of the "
        "suite, --config of the command)"
    )


def _tiny_config(model_type: str) -> dict[str, Any] | None:
    """The sizes that the family's config reads, where they make a small model; None where they do not."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    try:
        known = known_keys(CONFIG_MAPPING[model_type])
        config = {"model_type": model_type, **{key: SIZES[key] for key in SIZES if key in known}}
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(build_config(config))  # type: ignore[no-untyped-call]
    except Exception:  # a family whose sizes go together in a way of its own
        return None
    size = sum(parameter.numel() for parameter in model.parameters())
    return config if size <= MOST_PARAMETERS else None
