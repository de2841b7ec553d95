"""Which attention a run computes: what its spec names, or "varlen" wherever a model gives the same under it."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from transformers import CONFIG_MAPPING

from mftkit.interfaces.model import VARLEN
from mftkit.models.config import build_config
from mftkit.models.native import attention_of
from mftkit.models.varlen_trial import use_varlen
from mftkit.training.recorded import recorded_environment
from mftkit_registry import MftError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.processes import Processes
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.training.precision import Precision

RECORD = "attention"
"""The key of environment.json that says which attention the run computes."""

FLEX = "flex_attention"
"""transformers' name for torch's flex attention."""
DROPOUT = re.compile("^att(entio)?n_(.+_)?p?drop")
"""Keys of configs for the dropout of attention weights: attention_dropout, attn_pdrop, and others."""


class Varlen(Enum):
    """Whether a run uses the attention "varlen"."""

    NO = "no"
    TRY = "try"
    """If the loaded model gives the same under it."""
    RESUMED = "resumed"
    """The same, and the run that resumes was begun with it."""
    REQUIRED = "required"


def check_flex(spec: Spec, adapter: ModelAdapter, config: JsonObject, device: torch.device) -> None:
    """Raise MftError if torch's flex attention cannot train the model of this config on this device."""
    if spec.model.attention != FLEX:
        return
    if device.type in ("cpu", "mps"):
        raise MftError(
            f"model.attention: {FLEX} has no backward pass on the device {device.type}, on which this run trains; set "
            'model.attention to "auto" or "sdpa", or train on a GPU'
        )
    if dropouts := _attention_dropouts(adapter, config):
        where = "model.config" if spec.model.path is None else "the checkpoint's config.json"
        given = " and ".join(f"{key} {rate:g}" for key, rate in dropouts.items())
        raise MftError(
            f"model.attention: {FLEX} has no dropout, and the model trains with {given}; set {' and '.join(dropouts)} "
            f'to 0 in {where}, or model.attention to "auto" or "sdpa"'
        )


def _attention_dropouts(adapter: ModelAdapter, config: JsonObject) -> dict[str, float]:
    """The keys by which a model drops attention weights, with their rates if they are above 0."""
    values = dict(config)
    if not adapter.converts(config) and config.get("model_type") in CONFIG_MAPPING:
        # With the rates that the family has by default.
        values = vars(build_config(config, given_by_hand=False).get_text_config())
    return {
        key: rate
        for key, rate in values.items()
        if DROPOUT.search(key) and isinstance(rate, int | float) and rate > 0
    }


def choose_varlen(spec: Spec, device: torch.device, precision: Precision, *, fresh: bool) -> Varlen:
    """The choice by the spec; without ``fresh``, "auto" stays with what the run that resumes was begun with.

    Raises MftError for what does not fit together, before any weights are read.
    """
    suits = device.type != "cuda" or precision.name == "bfloat16"
    if spec.model.attention == VARLEN:
        if spec.training.compile:
            raise MftError(
                f"model.attention: {VARLEN} cannot be compiled, its sequences have other lengths in each batch; "
                "set training.compile to false, or model.attention to another one"
            )
        if not suits:
            raise MftError(
                f"model.attention: {VARLEN} needs bfloat16 on CUDA, and this run computes in {precision.name}; "
                'set model.dtype to "bfloat16", or model.attention to "sdpa"'
            )
        return Varlen.REQUIRED
    known = suits and device.type in ("cpu", "cuda")
    if spec.model.attention != "auto" or spec.training.compile or not known:
        return Varlen.NO
    recorded = None if fresh else recorded_environment(spec)
    if recorded is None:
        return Varlen.TRY
    return Varlen.RESUMED if recorded.get(RECORD) == VARLEN else Varlen.NO


def set_attention(
    choice: Varlen,
    adapter: ModelAdapter,
    model: PreTrainedModel,
    longest: int,
    processes: Processes,
    reporter: Reporter,
) -> str:
    """Replace the attention of a loaded model in place if the choice says so, in all processes or in none.

    Args:
        choice: of the run.
        adapter: of the model.
        model: below the run's tuning, on the device of training.
        longest: tokens of the longest row.
        processes: that train together.
        reporter: receives a warning if a run cannot stay with the attention with which it was begun.

    Returns:
        A sentence for the plan; "" if nothing was tried.

    Raises:
        MftError: the spec requires it, and the model's results differ under it.
    """
    if choice is Varlen.NO:
        return ""
    own = attention_of(model)
    found = processes.gather(use_varlen(adapter, model, longest))
    problem = next((each for each in found if each), "")
    if not problem:
        return f"attention {VARLEN}: each sample is computed by itself, without padding and masks"
    if attention_of(model) == VARLEN:
        model.set_attn_implementation(own)
    if choice is Varlen.REQUIRED:
        raise MftError(
            f"model.attention: {VARLEN} cannot be used with {type(model).__name__}: {problem}; set model.attention to "
            f'"auto", which uses {own} for it'
        )
    if choice is Varlen.RESUMED:
        reporter.warn(
            f"model.attention: the run was begun with {VARLEN}, which cannot be used here: {problem}; it continues "
            f"with {own}, whose losses are the same up to rounding"
        )
    return f"attention {own}: {VARLEN} cannot be used: {problem}"
