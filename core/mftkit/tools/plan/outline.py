"""The model of a spec without weights, tokenizer and data: only its config is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from mftkit.base import tokenizer_files
from mftkit.interfaces.component import TaskInfo
from mftkit.interfaces.model import LoadRequest
from mftkit.models.config import text_values, with_text_keys
from mftkit.models.recomputation import recompute_activations
from mftkit.models.text_part import freeze_other_parts
from mftkit.plugins import installed, kinds
from mftkit.reporting.reporter import Reporter
from mftkit.training.mode_choice import choose_mode
from mftkit.training.model_loading import choose_adapter
from mftkit.training.precision import Precision
from mftkit.training.start import find_start
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import nn

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.interfaces.tuning import Tuning
    from mftkit.spec import Spec
    from mftkit.spec.model import ModelSpec


@dataclass(frozen=True)
class Outline:
    """A model in training, with parameters that have sizes and no values."""

    spec: Spec
    adapter: ModelAdapter
    tuning: Tuning
    precision: Precision
    mode: TokenizationMode
    model: nn.Module
    """What the tuning made of the model, on the "meta" device."""
    quantization: Any = None
    """transformers' quantization config of the frozen base; None: it is not quantized."""


def planned_precision(dtype: str, *, bfloat16: bool) -> Precision:
    """The number types on a device that has bfloat16 or not, as ``choose_precision`` chooses them there."""
    if dtype == "auto" or (dtype == "bfloat16" and not bfloat16):
        dtype = "bfloat16" if bfloat16 else "float32"
    if dtype == "bfloat16":
        return Precision(dtype, torch.float32, torch.bfloat16)
    return Precision(dtype, getattr(torch, dtype), None)


def outline(spec: Spec, precision: Precision) -> Outline:
    """Outline the model of a spec.

    Raises:
        MftError: something that the user can fix.
    """
    reporter = Reporter()
    start = find_start(spec, reporter, fresh=True)
    with_model = spec if start is None else start.applied_to(spec)
    _, adapter, config = choose_adapter(with_model, reporter, start)
    tasks = tuple(TaskInfo(task.name, task.weight, 0, 0, 0) for task in spec.tasks)
    tuning: Tuning = installed.build(kinds.TUNING, spec.tuning.method, spec.tuning.options, tasks)
    mode = choose_mode(with_model, adapter, config, tasks).mode
    request = LoadRequest(
        path=with_model.model.path,
        config=_with_vocabulary(with_model.model, config),
        dtype=precision.arithmetic if tuning.freezes_base else precision.weights,
        # The fused kernels of a device are not here; like them, this one keeps no scores of all pairs of tokens.
        attention="sdpa" if "flash" in with_model.model.attention else with_model.model.loaded_attention,
        init="random",
        trust_remote_code=with_model.model.trust_remote_code,
    )
    quantization = tuning.load_options(precision.arithmetic).get("quantization_config")
    with torch.device("meta"):
        model, _ = adapter.load(replace(request, load_options={}))
        recompute_activations(model, spec.training.gradient_checkpointing)
        tuned = tuning.apply(model, adapter)
        freeze_other_parts(tuning.base_model(tuned))
    return Outline(spec, adapter, tuning, precision, mode, tuned, quantization)


def _with_vocabulary(model: ModelSpec, config: JsonObject) -> JsonObject:
    """The config of a randomly initialized model with the size of the vocabulary that its tokenizer will have."""
    if model.init != "random" or "vocab_size" in text_values(config):
        return config
    tokenizer = model.tokenizer
    if tokenizer is not None and not isinstance(tokenizer, str):
        return with_text_keys(config, {"vocab_size": tokenizer.train_bpe})
    loaded = tokenizer_files.load_tokenizer(tokenizer) if tokenizer else None
    if loaded is None:
        raise MftError(
            "model.config.vocab_size: required for a plan, because the tokenizer is not here; set it to the number "
            "of tokens"
        )
    return with_text_keys(config, {"vocab_size": len(loaded)})
