"""From the spec's ``model`` to an adapter, a tokenizer and a model to train."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig

from mftkit.base import tokenizer_files
from mftkit.base.random_state import seed_generators
from mftkit.data.task_formats import uses_chat
from mftkit.data.tokens.train_tokenizer import tokenizer_of_tasks
from mftkit.interfaces.model import LoadRequest
from mftkit.models import check_head, choose_pad, read_config, select_adapter
from mftkit.models.config import with_text_keys
from mftkit.models.converted import ConvertedAdapter, checkpoint_file
from mftkit.models.loading import check_code
from mftkit.models.native import NativeAdapter
from mftkit.models.pad_token import restore_pad
from mftkit.models.recomputation import recompute_activations
from mftkit.models.rotary import fix_rotary
from mftkit.models.stray_adapter import warn_stray_adapter
from mftkit.models.text_part import freeze_other_parts
from mftkit.reporting.reporter import Reporter
from mftkit.runs.checkpoint_source import from_tokenizer
from mftkit.training.base_writer import ensure_base
from mftkit.training.node_loading import load_once_per_node
from mftkit.training.position_checks import check_positions, describe_long_samples, longest_row
from mftkit.training.start import lacking
from mftkit.training.start_adapter import continue_adapter
from mftkit.training.token_checks import check_token_ids
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.runs.base_checkpoint import BaseCheckpoint
    from mftkit.spec import Spec
    from mftkit.spec.model import ModelSpec
    from mftkit.training.run_parts import CheckedRun
    from mftkit.training.start import Start


def choose_adapter(
    spec: Spec, reporter: Reporter, start: Start | None = None
) -> tuple[str, ModelAdapter, JsonObject]:
    """The adapter's name, the adapter, and the model config by which it was chosen."""
    if spec.model.init == "random":
        config = dict(spec.model.config or {})
    elif start is not None and start.lacks_model and start.configs is not None:
        config = dict(start.configs["config"])
    else:
        assert spec.model.path is not None, "a spec of a pretrained model has a path"
        config = read_config(spec.model.path, spec.model.trust_remote_code, revision=spec.model.revision)
        warn_stray_adapter(spec.model.path, reporter)
    name, adapter = select_adapter(config, spec.model.adapter.name, spec.model.adapter.options, reporter)
    if spec.model.init == "pretrained" and adapter.matches(config) == 1:
        # Code that may not run is reported before its tokenizer is looked for.
        check_code(spec.model.path, config, spec.model.trust_remote_code)
    return name, adapter, config


def load_tokenizer(
    spec: Spec, adapter: ModelAdapter, config: JsonObject, reporter: Reporter
) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, the one that ``model.tokenizer`` names, or one trained on the tasks' own text.

    Raises:
        MftError: there are no tokenizer files.
    """
    source = spec.model.tokenizer
    if source is not None and not isinstance(source, str):
        return tokenizer_of_tasks(spec, source.train_bpe, reporter)
    if source is None:
        tokenizer = adapter.load_tokenizer(_load_request(spec.model, config, torch.float32))
    else:
        tokenizer = _tokenizer_elsewhere(source, spec, reporter)
    if tokenizer is None:
        raise MftError(
            f"model.tokenizer: no tokenizer files in {source or spec.model.path}. Set model.tokenizer to a path or hub "
            "id that has them."
        )
    if not tokenizer.chat_template:
        tokenizer.chat_template = adapter.chat_template(tokenizer)
        chats = any(uses_chat(task) for task in spec.tasks)
        if chats and tokenizer.chat_template and spec.chat.format != "markers" and spec.chat.markers is None:
            _report_template(adapter, tokenizer, reporter)
    return tokenizer


def _report_template(adapter: ModelAdapter, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> None:
    known = adapter.instruct_format(tokenizer)
    whose = f"{known.name}, whose control tokens it has" if known else "its family's instruct models"
    reporter.note(
        f"chat.format: the tokenizer has no chat template, so the template of {whose} is used; "
        'set "markers" to use the markers of the paper instead'
    )


def _tokenizer_elsewhere(path: str, spec: Spec, reporter: Reporter) -> PreTrainedTokenizerBase | None:
    """The tokenizer of another directory or hub id, which may be a checkpoint that is converted on load."""
    trust = spec.model.trust_remote_code
    if checkpoint_file(path, "config.json") is not None:
        config, adapter = read_config(path, trust), None
        with suppress(MftError):  # a tokenizer may lie beside a model that no installed adapter knows
            _, adapter = select_adapter(config, reporter=reporter)
        if adapter is not None and adapter.converts(config):
            return adapter.load_tokenizer(LoadRequest(path, config, torch.float32, "auto"))
    return tokenizer_files.load_tokenizer(path, trust)


def load_model(
    checked: CheckedRun, own_base: BaseCheckpoint | None, reporter: Reporter | None = None
) -> tuple[nn.Module, tuple[str, ...]]:
    """What the tuning makes of the loaded model, and notes for the plan about how it was loaded.

    ``own_base`` is where a base that exists nowhere else is kept, for a tuning whose result names its base.
    """
    seed_generators(checked.spec.seed)
    reporter = reporter or Reporter()
    adapter, tokenizer = checked.adapter, checked.tokenizer
    request = base_request(checked)
    base_notes: list[str] = []
    if own_base is not None:
        trained_ids = turn_end_ids(checked.chat, tokenizer)
        request, base_notes = ensure_base(
            own_base,
            request,
            adapter,
            tokenizer,
            trained_ids,
            checked.processes,
            check=partial(check_token_ids, checked),
            make=partial(_start_base, checked, request, reporter),
        )
    request = replace(request, load_options=_load_options(checked, request))
    load = partial(_model_to_tune, checked, request, own_base is not None, reporter)
    sharded_later = checked.engine.shards_weights and not _reads_share(checked, request, own_base is not None)
    # An adapter's own way to load may have effects in a process beside the model.
    shares = sharded_later and type(adapter).load in (NativeAdapter.load, ConvertedAdapter.load)
    model = load_once_per_node(load, checked.processes) if shares else load()
    model = checked.engine.distribute(model, tuned=False)
    notes = _check_against_data(checked, model, request)
    with torch.no_grad():
        checked.engine.within(model, partial(check_head, adapter, model))
    tuned, pad_note, rest_note = _pad_and_tune(checked, model, request)
    checked.engine.distribute(checked.tuning.base_model(tuned), tuned=True)
    _check_checkpoint_suffices(checked, tuned)
    _continue(checked, tuned, fill=True)
    return tuned, (_describe_start(checked), *(base_notes or [pad_note]), rest_note, *notes)


def _load_options(checked: CheckedRun, request: LoadRequest) -> dict[str, Any]:
    """Keyword arguments for ``from_pretrained``: the tuning's, and those by which a process reads its share."""
    of_tuning = checked.tuning.load_options(checked.precision.arithmetic)
    if request.init != "pretrained":
        return of_tuning
    return {**of_tuning, **checked.engine.load_options(quantized="quantization_config" in of_tuning)}


def _start_base(checked: CheckedRun, request: LoadRequest, reporter: Reporter) -> PreTrainedModel:
    """The base that the run keeps as its own, as it is written."""
    start = checked.start
    if start is None or not start.makes_base:
        return checked.adapter.load(request)[0]
    return start.load(checked.tokenizer, reporter)


def _model_to_tune(
    checked: CheckedRun, request: LoadRequest, has_own_base: bool, reporter: Reporter
) -> PreTrainedModel:
    """The model that the tuning is applied to; its weights do not matter if the run resumes and those are gone."""
    start = checked.start
    if start is not None and start.lacks_model:
        return _without_weights(checked, start, request)
    if start is None or _is_read(start, has_own_base):
        return _with_pad_row(checked, checked.adapter.load(request)[0])
    return start.load(checked.tokenizer, reporter, request.dtype, request.attention)


def _is_read(start: Start | None, has_own_base: bool) -> bool:
    """Return True if the weights are read as they are, and not made of several files."""
    return start is None or start.is_on_disk or has_own_base or start.source is None


def _reads_share(checked: CheckedRun, request: LoadRequest, has_own_base: bool) -> bool:
    """Return True if each process reads no more of the weights than its share."""
    start, quantized = checked.start, "quantization_config" in request.load_options
    read = request.init == "pretrained" and (start is None or not start.lacks_model)
    return read and _is_read(start, has_own_base) and bool(checked.engine.load_options(quantized=quantized))


def _without_weights(checked: CheckedRun, start: Start, request: LoadRequest) -> PreTrainedModel:
    """The model that a run started from, with random weights: it is gone, and the run's checkpoint has all of them."""
    model, _ = checked.adapter.load(replace(request, init="random"))
    generation = None if start.configs is None else start.configs["generation_config"]
    if generation is not None:
        model.generation_config = GenerationConfig.from_dict(generation)
    restore_pad(checked.tokenizer, model)
    return model


def _check_checkpoint_suffices(checked: CheckedRun, tuned: nn.Module) -> None:
    """Refuse to resume without the model that the run started from if its checkpoints do not hold all weights."""
    start = checked.start
    if start is not None and start.lacks_model:
        held = sum(tensor.numel() for tensor in checked.tuning.state_dict(tuned).values())
        if held < sum(parameter.numel() for parameter in tuned.parameters()):
            raise lacking(start)


def _with_pad_row(checked: CheckedRun, model: PreTrainedModel) -> PreTrainedModel:
    """The model with the row for the pad token that the run has given to the model that it starts from."""
    if checked.start is not None and checked.start.in_checkpoint and not checked.start.makes_adapter:
        restore_pad(checked.tokenizer, model)
    return model


def _continue(checked: CheckedRun, tuned: nn.Module, *, fill: bool) -> None:
    """Give the new adapter the weights of the one that is trained further."""
    start = checked.start
    if start is not None and start.use == "continue" and start.source is not None:
        continue_adapter(start.source, checked.tuning, tuned, checked.spec.tuning.options, fill)


def _describe_start(checked: CheckedRun) -> str:
    """A sentence for the plan about where the run starts; "" if at the weights of ``model``."""
    start = checked.start
    if start is None:
        return ""
    how = {
        "model": "",
        "continue": ", whose adapter is trained further",
        "merge": ", whose adapter is merged into its base",
    }[start.use]
    return f"the run starts from {start.weights}{how}, with a fresh optimizer"


def _check_against_data(checked: CheckedRun, model: PreTrainedModel, request: LoadRequest) -> list[str]:
    """Refuse rows that the model cannot read, and make it independent of their lengths; return notes for the plan."""
    surplus = check_token_ids(checked, model)
    row = longest_row(checked)
    check_positions(checked, request, row)
    return [
        surplus,
        fix_rotary(model, checked.spec.max_length),
        describe_long_samples(checked, model, row),
    ]


def outline_model(checked: CheckedRun) -> tuple[nn.Module, tuple[str, ...]]:
    """As ``load_model``, but with parameters that have sizes and no values: for a dry run."""
    seed_generators(checked.spec.seed)
    request = base_request(checked)
    with torch.device("meta"):
        model, _ = checked.adapter.load(replace(request, init="random"))
        model = _with_pad_row(checked, model)
    notes = _check_against_data(checked, model, request)
    # Called for what it refuses: a dry run should refuse that, too.
    checked.tuning.load_options(checked.precision.arithmetic)
    tuned, pad_note, rest_note = _pad_and_tune(checked, model, request)
    _continue(checked, tuned, fill=False)
    return tuned, (_describe_start(checked), pad_note, rest_note, *notes)


def _pad_and_tune(
    checked: CheckedRun, model: PreTrainedModel, request: LoadRequest
) -> tuple[nn.Module, str, str]:
    adapter, tokenizer, tuning = checked.adapter, checked.tokenizer, checked.tuning
    may_grow = not tuning.saves_adapter or request.init == "random" or adapter.converts(request.config)
    trained_ids = turn_end_ids(checked.chat, tokenizer)
    pad_note = choose_pad(tokenizer, model, trained_ids, may_grow=may_grow, known=adapter.pad_tokens)
    recompute_activations(model, checked.spec.training.gradient_checkpointing)
    seed_generators(checked.spec.seed)  # what a tuning draws does not depend on how the model was loaded
    tuned = tuning.apply(model, adapter)
    base = tuning.base_model(tuned)
    adapter.head(base)  # called for what it refuses: a head that the tuning has changed
    return tuned, pad_note, freeze_other_parts(base)


def turn_end_ids(chat: ChatFormat | None, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of single tokens with which the chat format marks turns and their ends.

    Samples train them, so none of them may be the pad token.
    """
    if chat is None:
        return set()
    own = chat.controls.own
    return {id_ for id_, token in tokenizer.added_tokens_decoder.items() if str(token.content) in own}


def base_request(checked: CheckedRun) -> LoadRequest:
    """The model that a run starts from, as it asks the adapter to load it."""
    precision, tuning = checked.precision, checked.tuning
    dtype = precision.arithmetic if tuning.freezes_base else precision.weights
    request = _load_request(checked.model, checked.model_config, dtype)
    if request.init == "random":
        config = with_text_keys(checked.model_config, from_tokenizer(checked.tokenizer))
        request = replace(request, config=config)
    return request


def _load_request(model: ModelSpec, config: JsonObject, dtype: torch.dtype) -> LoadRequest:
    return LoadRequest(
        path=model.path,
        config=config,
        dtype=dtype,
        attention=model.loaded_attention,
        init=model.init,
        trust_remote_code=model.trust_remote_code,
        revision=model.revision,
    )
