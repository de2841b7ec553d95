"""From the spec's ``model`` to an adapter, a tokenizer and a model to train."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.data.tokens.train_tokenizer import tokenizer_of_tasks
from mftkit.interfaces.model import LoadRequest
from mftkit.models import check_head, check_vocabulary, choose_pad, read_config, select_adapter
from mftkit.models.converted import checkpoint_file
from mftkit.models.loading import check_code
from mftkit.training.base_writer import own_base
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tuning import Tuning
    from mftkit.processes import Processes
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.base_checkpoint import BaseCheckpoint
    from mftkit.spec import Spec


@dataclass(frozen=True)
class Precision:
    """The number types of a run."""

    name: str
    weights: torch.dtype
    """Of weights that are trained."""
    autocast: torch.dtype | None
    """Of matrix products, where it is not that of the weights."""

    @property
    def arithmetic(self) -> torch.dtype:
        """Of matrix products, and of weights that are not trained."""
        return self.autocast or self.weights


def pick_dtype(asked: str, device: torch.device, reporter: Reporter) -> Precision:
    """bfloat16 where the device has it; what is not as asked is told."""
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "auto":
        asked = "bfloat16" if has_bfloat16 else "float32"
    elif asked == "bfloat16" and not has_bfloat16:
        reporter.warn(
            f"model.dtype: this device ({device.type}) has no bfloat16 arithmetic; training in float32"
        )
        asked = "float32"
    if asked == "bfloat16":
        # Sums of many small updates are lost in bfloat16 weights; products in bfloat16 are what is fast.
        return Precision("bfloat16", torch.float32, torch.bfloat16)
    return Precision(asked, getattr(torch, asked), None)


def pick_adapter(spec: Spec, reporter: Reporter) -> tuple[str, ModelAdapter, dict[str, Any]]:
    """The adapter's name, the adapter, and the config that it was chosen by."""
    if spec.model.init == "random":
        config = dict(spec.model.config or {})
    else:
        assert spec.model.path is not None, "the spec has a path where the model is pretrained"
        config = read_config(spec.model.path, spec.model.trust_remote_code)
    name, adapter = select_adapter(config, spec.model.adapter.name, spec.model.adapter.options, reporter)
    if (
        spec.model.init == "pretrained" and adapter.matches(config) == 1
    ):  # told before its tokenizer is asked for
        check_code(spec.model.path, config, spec.model.trust_remote_code)
    return name, adapter, config


def make_tokenizer(
    spec: Spec, adapter: ModelAdapter, config: dict[str, Any], reporter: Reporter
) -> PreTrainedTokenizerBase:
    """The checkpoint's, the one that ``model.tokenizer`` names, or one trained on the tasks' own text."""
    wanted = spec.model.tokenizer
    if wanted is not None and not isinstance(wanted, str):
        return tokenizer_of_tasks(spec, wanted.train_bpe, reporter)
    if wanted is None:
        tokenizer = adapter.load_tokenizer(_request(spec, config, torch.float32))
    else:
        tokenizer = _tokenizer_elsewhere(wanted, spec, reporter)
    if tokenizer is None:
        raise MftError(
            f"model.tokenizer: {wanted or spec.model.path} has no tokenizer files, and text cannot be read "
            "without; give the path of one in model.tokenizer"
        )
    if not tokenizer.chat_template:
        tokenizer.chat_template = adapter.chat_template(tokenizer)
        chats = any(task.format == "chat" for task in spec.tasks)
        if chats and tokenizer.chat_template and spec.chat.format != "markers" and spec.chat.markers is None:
            _tell_format(adapter, tokenizer, reporter)
    return tokenizer


def _tell_format(adapter: ModelAdapter, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> None:
    known = adapter.instruct_format(tokenizer)
    whose = f"{known.name}, whose control tokens it holds" if known else "its family's instruct models"
    reporter.note(
        f"chat.format: the tokenizer has no chat template, and gets that of {whose}; "
        'set "markers" for the markers of the paper'
    )


def _tokenizer_elsewhere(path: str, spec: Spec, reporter: Reporter) -> PreTrainedTokenizerBase | None:
    """The tokenizer of another directory or hub id, which may be a checkpoint that is converted on load."""
    trust = spec.model.trust_remote_code
    if checkpoint_file(path, "config.json") is not None:
        config, adapter = read_config(path, trust), None
        with suppress(MftError):  # a tokenizer may lie beside a model that nobody here knows
            _, adapter = select_adapter(config, reporter=reporter)
        if adapter is not None and adapter.converts(config):
            return adapter.load_tokenizer(LoadRequest(path, config, torch.float32, "auto"))
    return load_tokenizer(path, trust)


def load_for_training(
    spec: Spec,
    adapter: ModelAdapter,
    config: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    tuning: Tuning,
    dtype: Precision,
    *,
    learned: set[int],
    weights: bool,
    processes: Processes,
    place: BaseCheckpoint | None = None,
) -> tuple[nn.Module, str]:
    """The model that the tuning made, and what was done for a pad token.

    ``place`` is where a base that is no checkpoint elsewhere is kept, for a tuning whose result names its base.
    """
    request = _request(spec, config, dtype.arithmetic if tuning.freezes_base else dtype.weights)
    if request.init == "random":
        request = replace(request, config={**_fitting(tokenizer), **config})
    told = ""
    if not weights:
        with torch.device("meta"):
            model, _ = adapter.load(replace(request, init="random"))
        tuning.load_options(dtype.arithmetic)  # what it refuses is refused in a dry run, too
    else:
        if place is not None:
            request, told = own_base(place, request, adapter, tokenizer, learned, processes)
        request = replace(request, load_options=tuning.load_options(dtype.arithmetic))
        model, _ = adapter.load(request)
        check_vocabulary(tokenizer, model)
        check_head(adapter, model)
    grows = not tuning.saves_adapter or request.init == "random" or adapter.converts(request.config)
    pad_told = choose_pad(tokenizer, model, learned, may_grow=grows, known=adapter.pad_tokens)
    if spec.training.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    torch.manual_seed(spec.seed)  # what a tuning draws does not depend on how the model was loaded
    return tuning.apply(model, adapter), told or pad_told


def _request(spec: Spec, config: dict[str, Any], dtype: torch.dtype) -> LoadRequest:
    return LoadRequest(
        path=spec.model.path,
        config=config,
        dtype=dtype,
        attention=spec.model.attention,
        init=spec.model.init,
        trust_remote_code=spec.model.trust_remote_code,
    )


def _fitting(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Config keys of a model from a random start that follow from its tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
