"""Builds a run from its spec, in order: everything but the model's weights is checked before any weights are read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from mftkit.base.random_state import seed_generators
from mftkit.batches.batcher import Batcher
from mftkit.batches.changing_sampler import ChangingSampler
from mftkit.batches.sampler import BatchSampler
from mftkit.data.corpus import prepare
from mftkit.data.task_formats import uses_chat
from mftkit.data.text.chat_format import chat_format
from mftkit.evaluation.best_by import deciding_metrics
from mftkit.models import check_independence, check_isolation
from mftkit.models.fused_kernels import check_fused_kernels, use_fused_kernels
from mftkit.plugins import installed, kinds
from mftkit.processes import Processes
from mftkit.reporting.reporter import Reporter
from mftkit.runs.base_checkpoint import base_fingerprint
from mftkit.training.attention_choice import Varlen, check_flex, choose_varlen, set_attention
from mftkit.training.balancing import Balancing
from mftkit.training.compiling import Shapes, check_compiling, compile_layers, compiles_head
from mftkit.training.component_checks import (
    build_balancer,
    build_combiner,
    check_early_stopping,
    check_mixer,
    isolates_samples,
)
from mftkit.training.deciding import make_histories
from mftkit.training.engine_choice import choose_engine
from mftkit.training.evaluating import make_evaluations
from mftkit.training.gradients import check_one_dtype, make_gradients
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.loss_checks import check_loss
from mftkit.training.mixing import make_mixing
from mftkit.training.mixing_notes import warn_repeated_samples
from mftkit.training.mode_choice import choose_mode, tried
from mftkit.training.model_loading import choose_adapter, load_model, load_tokenizer, outline_model
from mftkit.training.objective import Objective
from mftkit.training.optimizer import build_optimizer, group_parameters, make_optimizer, trained_parameters
from mftkit.training.plan import make_plan
from mftkit.training.position_checks import longest_row
from mftkit.training.precision import choose_precision
from mftkit.training.row_weights import check_row_weights
from mftkit.training.run_parts import CheckedRun, Run
from mftkit.training.schedule import check_schedule
from mftkit.training.start import find_start
from mftkit.training.validation import Validator

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.corpus import Corpus
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.interfaces.engine import Engine
    from mftkit.interfaces.loss import Loss
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.optimizer import ParameterGroup
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.reporting.plan import Plan
    from mftkit.runs.base_checkpoint import BaseCheckpoint
    from mftkit.spec import Spec
    from mftkit.training.compiled_layers import CompiledLayers
    from mftkit.training.mode_choice import ModeChoice
    from mftkit.training.precision import Precision


def check_run(
    spec: Spec, reporter: Reporter, *, fresh: bool = False, processes: Processes | None = None
) -> CheckedRun:
    """Read and check all that ``spec`` names except the model's weights.

    Args:
        spec: the run's spec.
        reporter: receives progress, and a warning about everything that is not as the spec says.
        fresh: what the output directory holds is no run to resume.
        processes: that train together; None: those that find each other now.

    Raises:
        MftError: something that the user can fix.
    """
    processes = processes or Processes()
    engine = choose_engine(spec.engine, processes, reporter)
    precision = choose_precision(spec.model.dtype, processes.device, reporter)
    start = find_start(spec, reporter, fresh=fresh)
    with_model = spec if start is None else start.applied_to(spec)
    adapter_name, adapter, config = choose_adapter(with_model, reporter, start)
    varlen = _checked_kernels(with_model, engine, adapter, config, precision, fresh=fresh)
    adapter.describe(config, spec.max_length, reporter)
    tokenizer = load_tokenizer(with_model, adapter, config, reporter)
    chat = _chat_format(spec, tokenizer)
    corpus = prepare(spec, tokenizer, reporter)
    tasks = corpus.tasks
    balancer = build_balancer(spec, tasks)
    check_early_stopping(spec, tasks)
    deciding_metrics(spec)
    check_mixer(spec, corpus.mixer, tasks)
    combiner = build_combiner(spec, tasks)
    choice = choose_mode(with_model, adapter, config, tasks, fresh=fresh)
    loss = _loss(spec, corpus, reporter)
    tuning = installed.build(kinds.TUNING, spec.tuning.method, spec.tuning.options, tasks)
    engine.check(tuning, per_task_gradients=combiner is not None)
    sampler = make_sampler(spec, corpus, choice.mode)
    _check_steps(spec, corpus, sampler, choice.mode, reporter)
    return CheckedRun(
        spec=spec,
        model=with_model.model,
        start=start,
        processes=processes,
        engine=engine,
        precision=precision,
        adapter_name=adapter_name,
        # Built again, with the tasks: the data needs a tokenizer, and the first adapter had to be there to load it.
        adapter=type(adapter)(adapter.options, tasks),
        model_config=config,
        tokenizer=tokenizer,
        chat=chat,
        corpus=corpus,
        balancer=balancer,
        combiner=combiner,
        mode_choice=choice,
        varlen=varlen,
        tuning=tuning,
        optimizer=build_optimizer(spec.training, engine, tuning),
        sampler=sampler,
        objective=_objective(spec, loss, sampler, processes),
    )


def _checked_kernels(
    spec: Spec,
    engine: Engine,
    adapter: ModelAdapter,
    config: JsonObject,
    precision: Precision,
    *,
    fresh: bool,
) -> Varlen:
    """Whether to use "varlen". Raises MftError if a step cannot be made by the kernels that the spec asks for."""
    if spec.training.compile:
        check_compiling(engine)
    if spec.training.fused_kernels:
        check_fused_kernels(engine.processes.device, config)
    check_flex(spec, adapter, config, engine.processes.device)
    return choose_varlen(spec, engine.processes.device, precision, fresh=fresh)


def _loss(spec: Spec, corpus: Corpus, reporter: Reporter) -> Loss:
    """The spec's loss. Raises MftError if rows have weights that it does not read."""
    loss: Loss = installed.build(kinds.LOSS, spec.loss.name, spec.loss.options, corpus.tasks)
    check_row_weights(spec.loss.name, loss, corpus, reporter)
    return loss


def _check_steps(
    spec: Spec, corpus: Corpus, sampler: BatchSampler, mode: TokenizationMode, reporter: Reporter
) -> None:
    """Check the schedule against the number of steps; report samples that data mixing repeats in a step or a row."""
    check_schedule(spec.training, sampler.total, reporter)
    if corpus.mixture is not None:
        isolates = partial(isolates_samples, mode, corpus, sampler, spec.max_length)
        warn_repeated_samples(sampler.layout(0), isolates, reporter)


def _objective(spec: Spec, loss: Loss, sampler: BatchSampler, processes: Processes) -> Objective:
    check_loss(loss, len(spec.tasks))
    return Objective(
        loss,
        len(spec.tasks),
        spec.training.task_mean,
        device=processes.device,
        steps_per_epoch=sampler.steps_per_epoch,
    )


def plan_run(checked: CheckedRun) -> Plan:
    """The plan of a run, made without reading any weights (a dry run)."""
    model, notes = outline_model(checked)
    if checked.combiner is not None:
        check_one_dtype([p for p in model.parameters() if p.requires_grad])
    return make_plan(checked, model, notes)


def build_run(
    checked: CheckedRun, own_base: BaseCheckpoint | None = None, reporter: Reporter | None = None
) -> Run:
    """Load the model of a checked run, and build what trains it.

    Args:
        checked: from ``check_run``.
        own_base: where the run's own base is kept; written now if there is none yet. Required if
            ``checked.needs_own_base``, ignored otherwise.
        reporter: receives what is noted while the model is loaded.

    Raises:
        MftError: something that the user can fix.
    """
    spec, processes, corpus = checked.spec, checked.processes, checked.corpus
    own_base = own_base if checked.needs_own_base else None
    if spec.training.parameter_groups:  # refused before any weights are read
        _groups(checked, outline_model(checked)[0])
    model, notes = load_model(checked, own_base, reporter)
    reporter, engine = reporter or Reporter(), checked.engine
    logprob_model, parallel_model = _parallel(checked, model)
    checked, remark = _check_on_device(checked, model, reporter)
    compiled = compile_layers(checked, checked.tuning.base_model(model), reporter)
    objective = checked.objective
    batcher = _batcher(checked, checked.tuning.base_model(model))
    validator = Validator(corpus.valid, len(corpus.tasks), batcher, objective.dtype)
    history, metric_history = make_histories(spec)
    minibatch_losses = partial(validator.minibatch_losses, logprob_model, objective)
    balancing = Balancing(
        checked.balancer,
        len(corpus.tasks),
        minibatch_losses=minibatch_losses,
        stopped_tasks=lambda: (metric_history or history).stopped_tasks,
    )
    evaluations = make_evaluations(checked, model, logprob_model, batcher, reporter)
    mixing = make_mixing(
        corpus.mixer, checked.sampler, minibatch_losses, processes, streams=spec.data.streaming is not None
    )
    trained = [p for p in logprob_model.parameters() if p.requires_grad]
    gradients = make_gradients(engine, trained, processes, checked.combiner)
    # Dropout depends on the seed and the process alone, not on how the model was loaded.
    seed_generators(spec.seed + processes.rank)
    return Run(
        checked=checked,
        model=model,
        logprob_model=logprob_model,
        parallel_model=parallel_model,
        batcher=_training_batcher(checked, batcher, compiled),
        validator=validator,
        history=history,
        metric_history=metric_history,
        balancing=balancing,
        mixing=mixing,
        evaluations=evaluations,
        gradients=gradients,
        optimizer=engine.optimizer,
        plan=make_plan(checked, model, (*notes, *([remark] if remark else []))),
        compiled=compiled,
        own_base=None if own_base is None else base_fingerprint(own_base.current),
    )


def _parallel(checked: CheckedRun, model: nn.Module) -> tuple[LogprobModel, nn.Module]:
    """What computes log-probabilities with ``model``, and the same as the engine runs it, with an optimizer."""
    engine = checked.engine
    logprob_model = LogprobModel(
        model,
        checked.adapter,
        checked.tuning,
        checked.precision.autocast,
        engine.within,
        caches_casts=not engine.shards_weights,
        compiles_head=compiles_head(checked),
    )
    name = checked.spec.training.optimizer.name
    optimizer = make_optimizer(name, checked.optimizer, _groups(checked, model), engine.name)
    return logprob_model, engine.wrap(logprob_model, optimizer)


def _batcher(checked: CheckedRun, base: PreTrainedModel) -> Batcher:
    spec, pad_id = checked.spec, int(checked.tokenizer.pad_token_id)
    joins_rows = checked.adapter.needs_one_row(base)
    return Batcher(
        checked.processes, spec.training.micro_batch_size, spec.max_length, pad_id, joins_rows=joins_rows
    )


def _training_batcher(checked: CheckedRun, batcher: Batcher, compiled: CompiledLayers | None) -> Batcher:
    """The batcher of training, which makes batches of few shapes if layers are compiled for each."""
    if compiled is None:
        return batcher
    shapes = Shapes.of(checked)
    return replace(batcher, length_step=shapes.length_step, least_rows=shapes.rows, joins_rows=False)


def _groups(checked: CheckedRun, model: nn.Module) -> list[ParameterGroup]:
    return group_parameters(
        trained_parameters(model, checked.tuning.base_model(model)), checked.spec.training
    )


def _check_on_device(checked: CheckedRun, model: nn.Module, reporter: Reporter) -> tuple[CheckedRun, str]:
    """Check the loaded model by running it: that rows, and samples of one row, do not affect each other.

    Returns the run with the tokenization mode that fits the model, and a remark on its attention for the plan.
    """
    base, longest = checked.tuning.base_model(model), longest_row(checked).positions
    isolates = isolates_samples(checked.mode, checked.corpus, checked.sampler, checked.spec.max_length)

    choice = checked.mode_choice

    @torch.enable_grad()
    def work() -> tuple[ModeChoice, str]:
        if checked.spec.training.fused_kernels:
            use_fused_kernels(checked.adapter, base)
        remark = set_attention(checked.varlen, checked.adapter, base, longest, checked.processes, reporter)
        check_independence(checked.adapter, base, longest)
        if choice.other is not None:
            mode = tried(choice, checked.spec, checked.adapter, base, longest, checked.processes)
            return mode, remark
        if isolates:
            check_isolation(checked.adapter, base, longest)
        return choice, remark

    with torch.no_grad():  # no backward pass of the whole model follows
        found, remark = checked.engine.within(base, work)
    return _with_mode(checked, found), remark


def _with_mode(checked: CheckedRun, choice: ModeChoice) -> CheckedRun:
    """The run with the rows of a mode."""
    if choice.mode is checked.mode:
        return replace(checked, mode_choice=choice)
    spec, loss = checked.spec, checked.objective.loss
    sampler = make_sampler(spec, checked.corpus, choice.mode)
    objective = _objective(spec, loss, sampler, checked.processes)
    return replace(checked, mode_choice=choice, sampler=sampler, objective=objective)


def _chat_format(spec: Spec, tokenizer: PreTrainedTokenizerBase) -> ChatFormat | None:
    if not any(uses_chat(task) for task in spec.tasks):
        return None
    markers = spec.chat.markers.model_dump() if spec.chat.markers else None
    return chat_format(
        spec.chat.format,
        markers,
        tokenizer,
        split=spec.chat.split,
        special_tokens=spec.data.special_tokens,
    )


def make_sampler(spec: Spec, corpus: Corpus, mode: TokenizationMode) -> BatchSampler:
    """The steps of a run."""
    training = spec.training
    mixer = corpus.mixer
    sampler = (ChangingSampler if mixer is not None and mixer.changes else BatchSampler)(
        corpus.train,
        mode,
        tasks=len(corpus.tasks),
        seed=spec.seed,
        batch_size=training.batch_size,
        max_length=spec.max_length,
        epochs=training.epochs,
        max_steps=training.max_steps,
        mixture=corpus.mixture,
        group_by_task=training.grouping == "task",
    )
    if mixer is not None and isinstance(sampler, ChangingSampler):
        sampler.start(mixer.interval)
    return sampler
