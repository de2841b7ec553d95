"""Puts together what a spec names, checking what can be checked before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mftkit.batches.batcher import Batcher
from mftkit.batches.sampler import BatchSampler
from mftkit.data.corpus import prepare
from mftkit.data.text.chat_format import chat_format
from mftkit.interfaces.tokenization import MicroBatch
from mftkit.models import check_isolation
from mftkit.plugins import installed, kinds
from mftkit.processes import Processes
from mftkit.runs.checkpoint import check_state
from mftkit.training.balancing import Balancing, weights_of
from mftkit.training.base_writer import base_fingerprint
from mftkit.training.gradients import Gradients, make_gradients
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.model_loading import load_for_training, make_tokenizer, pick_adapter, pick_dtype
from mftkit.training.objective import Objective, check_loss
from mftkit.training.optimizer import make_optimizer, warmup_steps
from mftkit.training.plan import plan_of
from mftkit.training.repeats import tell_repeats
from mftkit.training.row_weights import check_row_weights
from mftkit.training.train_step import TrainStep
from mftkit.training.validation import Validator
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from mftkit.data.corpus import Corpus
    from mftkit.data.text.segments import ChatFormat
    from mftkit.interfaces.balancer import Balancer
    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.interfaces.loss import Loss
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.interfaces.tuning import Tuning
    from mftkit.reporting.plan import Plan
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.base_checkpoint import BaseCheckpoint
    from mftkit.spec import Spec
    from mftkit.training.model_loading import Precision


@dataclass(frozen=True)
class Assembly:
    """The parts of a run, ready to train."""

    spec: Spec
    corpus: Corpus
    processes: Processes
    adapter_name: str
    tuning: Tuning
    model: nn.Module
    """What the tuning made of the loaded model."""
    tokenizer: PreTrainedTokenizerBase
    chat: ChatFormat | None
    """How conversations became text; None where no task has any."""
    scorer: LogprobModel
    """Around the model, without the wrapper of several processes."""
    steps: BatchSampler
    runner: TrainStep
    validator: Validator
    objective: Objective
    balancing: Balancing
    gradients: Gradients
    optimizer: torch.optim.Optimizer
    plan: Plan
    own_base: dict[str, list[int]] | None
    """Fingerprint of the base that the run keeps of its own; None where it has none."""

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        return self.processes.device

    @property
    def best_per_task(self) -> bool:
        """Whether each task's own best is a result, too."""
        asked = self.spec.training.best_per_task
        several = sum(task.valid_samples > 0 for task in self.corpus.tasks) > 1
        return several and (self.tuning.saves_adapter if asked is None else asked)


@dataclass(frozen=True)
class _Components:
    mode: TokenizationMode
    loss: Loss
    balancer: Balancer
    tuning: Tuning
    combiner: GradientCombiner | None


@dataclass(frozen=True)
class Draft:
    """A run whose spec and data are known to be good, before any weight is read and anything is written."""

    spec: Spec
    processes: Processes
    dtype: Precision
    adapter_name: str
    adapter: ModelAdapter
    config: dict[str, Any]
    tokenizer: PreTrainedTokenizerBase
    chat: ChatFormat | None
    corpus: Corpus
    parts: _Components
    steps: BatchSampler
    objective: Objective

    @property
    def needs_own_base(self) -> bool:
        """Whether the result names a base that is no checkpoint elsewhere."""
        made = self.spec.model.init == "random" or self.adapter.converts(self.config)
        return self.parts.tuning.saves_adapter and made


def draft(spec: Spec, reporter: Reporter) -> Draft:
    """Read and check all that ``spec`` names but the model's weights.

    Args:
        spec: the run's spec.
        reporter: told of progress, and of everything that is not as the spec says.

    Raises:
        MftError: something the user can mend.
    """
    processes = Processes()
    dtype = pick_dtype(spec.model.dtype, processes.device, reporter)
    adapter_name, adapter, config = pick_adapter(spec, reporter)
    adapter.describe(config, spec.max_length, reporter)
    tokenizer = make_tokenizer(spec, adapter, config, reporter)
    chat = _chat(spec, tokenizer)
    corpus = prepare(spec, tokenizer, reporter)
    parts = _components(spec, corpus)
    adapter.tasks = parts.loss.tasks  # chosen by the checkpoint alone, before there was any data
    check_row_weights(spec.loss.name, parts.loss, corpus, reporter)
    steps = _steps(spec, corpus, parts.mode)
    _tell_schedule(spec, steps, reporter)
    if corpus.mixture is not None:
        apart = partial(_restarts_positions, parts.mode, corpus, steps, spec.max_length)
        tell_repeats(steps.layout(0), apart, reporter)
    objective = _objective(spec, parts.loss, steps, processes.device)
    return Draft(
        spec=spec,
        processes=processes,
        dtype=dtype,
        adapter_name=adapter_name,
        adapter=adapter,
        config=config,
        tokenizer=tokenizer,
        chat=chat,
        corpus=corpus,
        parts=parts,
        steps=steps,
        objective=objective,
    )


def assemble(drafted: Draft, place: BaseCheckpoint | None = None, *, weights: bool = True) -> Assembly:
    """The parts of a run, its model loaded.

    Args:
        drafted: from ``draft``.
        place: where a base of the run's own is kept, which is written now; needed if ``needs_own_base``.
        weights: False to count parameters without loading any (a dry run); such an assembly cannot train.

    Raises:
        MftError: something the user can mend.
    """
    spec, processes, parts, corpus = drafted.spec, drafted.processes, drafted.parts, drafted.corpus
    place = place if drafted.needs_own_base else None
    model, pad_told = _loaded(drafted, place, weights=weights)
    scorer = LogprobModel(model, drafted.adapter, parts.tuning, drafted.dtype.autocast)
    wrapped = _wrapped(drafted, scorer) if weights else scorer
    pad_id = int(drafted.tokenizer.pad_token_id)
    passes = Batcher(processes, spec.training.micro_batch_size, spec.max_length, pad_id)
    optimizer = make_optimizer(scorer, spec.training)
    validator = Validator(corpus.valid, len(corpus.tasks), passes, drafted.objective.dtype)
    balancing = Balancing(
        parts.balancer,
        len(corpus.tasks),
        lambda turn, samples: validator.minibatch(scorer, drafted.objective, turn, samples),
    )
    gradients = make_gradients(wrapped, processes, corpus.train.task, parts.combiner)
    # Dropout depends on nothing but the seed and the process: not on how the model was loaded.
    torch.manual_seed(spec.seed + processes.rank)
    return Assembly(
        spec=spec,
        corpus=corpus,
        processes=processes,
        adapter_name=drafted.adapter_name,
        tuning=parts.tuning,
        model=model,
        tokenizer=drafted.tokenizer,
        chat=drafted.chat,
        scorer=scorer,
        steps=drafted.steps,
        runner=TrainStep(
            wrapped,
            corpus.train,
            parts.mode,
            drafted.objective,
            balancing,
            optimizer,
            passes,
            spec.training.max_grad_norm,
            gradients,
        ),
        validator=validator,
        objective=drafted.objective,
        balancing=balancing,
        gradients=gradients,
        optimizer=optimizer,
        plan=plan_of(drafted, model, pad_told),
        own_base=None if place is None else base_fingerprint(place.current),
    )


def _wrapped(drafted: Draft, scorer: LogprobModel) -> nn.Module:
    """The scorer on its device, for several processes; samples of a row are tried for being apart."""
    parts, processes = drafted.parts, drafted.processes
    scorer.to(processes.device)
    if _restarts_positions(parts.mode, drafted.corpus, drafted.steps, drafted.spec.max_length):
        check_isolation(drafted.adapter, parts.tuning.base_model(scorer.model))
    return processes.wrap(scorer)


def _loaded(drafted: Draft, place: BaseCheckpoint | None, *, weights: bool) -> tuple[nn.Module, str]:
    """The model that the tuning made, and what was done for a pad token."""
    torch.manual_seed(drafted.spec.seed)
    return load_for_training(
        drafted.spec,
        drafted.adapter,
        drafted.config,
        drafted.tokenizer,
        drafted.parts.tuning,
        drafted.dtype,
        learned=_ending_ids(drafted.chat, drafted.tokenizer),
        weights=weights,
        processes=drafted.processes,
        place=place,
    )


def _tell_schedule(spec: Spec, steps: BatchSampler, reporter: Reporter) -> None:
    training = spec.training
    if warmup_steps(training.warmup, steps.total) >= steps.total > 1:
        reporter.warn(
            f"training.warmup: {training.warmup:g} lasts to the end of the run ({steps.total} steps): "
            "the learning rate never falls"
        )
    if training.scheduler == "constant" and training.min_learning_rate:
        reporter.note('training.min_learning_rate has no effect with scheduler "constant"')


def _chat(spec: Spec, tokenizer: PreTrainedTokenizerBase) -> ChatFormat | None:
    if all(task.format == "text" for task in spec.tasks):
        return None
    markers = spec.chat.markers.model_dump() if spec.chat.markers else None
    return chat_format(spec.chat.format, markers, tokenizer)


def _ending_ids(chat: ChatFormat | None, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of single tokens that the chat format makes of turns and their ends: padding must be none of them."""
    if chat is None:
        return set()
    added = {str(token.content): id_ for id_, token in tokenizer.added_tokens_decoder.items()}
    return {id_ for text in chat.control_texts() for content, id_ in added.items() if content in text}


def _components(spec: Spec, corpus: Corpus) -> _Components:
    tasks = corpus.tasks
    balancer: Balancer = installed.build(kinds.BALANCER, spec.balancer.name, spec.balancer.options, tasks)
    _check_balancer(spec.balancer.name, balancer)
    without = [task.name for task in tasks if not task.valid_samples]
    if balancer.needs_validation and without:
        raise MftError(
            f"balancer: {spec.balancer.name} needs validation samples, and these tasks have none: "
            f"{', '.join(without)}; set tasks[].valid."
        )
    stopping = spec.training.early_stopping
    if stopping is not None:
        lacking = [name for name in stopping.tasks or [task.name for task in tasks] if name in without]
        if lacking and (stopping.tasks or len(without) == len(tasks)):
            raise MftError(
                f"training.early_stopping: no validation samples in {', '.join(lacking)}; set tasks[].valid."
            )
    combiner = None
    if spec.gradients is not None:
        named = spec.gradients
        combiner = installed.build(kinds.GRADIENT_COMBINER, named.name, named.options, tasks)
        check_state("gradients", named.name, combiner)
    return _Components(
        mode=installed.build(
            kinds.TOKENIZATION_MODE, spec.tokenization.name, spec.tokenization.options, tasks
        ),
        loss=installed.build(kinds.LOSS, spec.loss.name, spec.loss.options, tasks),
        balancer=balancer,
        tuning=installed.build(kinds.TUNING, spec.tuning.method, spec.tuning.options, tasks),
        combiner=combiner,
    )


def _check_balancer(name: str, balancer: Balancer) -> None:
    """Refuse now what would end a run at its first step, or worse, at its last."""
    if balancer.needs_validation < 0 or balancer.validation_samples < 1:
        raise MftError(f"balancer: {name}: needs_validation must be 0 or more, validation_samples 1 or more.")
    if balancer.compares == "validation" and not balancer.needs_validation:
        raise MftError(f"balancer: {name} compares validation losses: needs_validation must be 1 or more.")
    weights_of(balancer, len(balancer.tasks))
    check_state("balancer", name, balancer)


def _objective(spec: Spec, loss: Loss, steps: BatchSampler, device: torch.device) -> Objective:
    check_loss(loss, len(loss.tasks))
    objective = Objective(loss, len(loss.tasks), spec.training.task_mean, device=device)
    objective.steps_per_epoch = steps.steps_per_epoch
    return objective


def _steps(spec: Spec, corpus: Corpus, mode: TokenizationMode) -> BatchSampler:
    training = spec.training
    return BatchSampler(
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


def _restarts_positions(mode: TokenizationMode, corpus: Corpus, steps: BatchSampler, max_length: int) -> bool:
    """Whether the mode keeps samples of one row apart, seen on its fullest row."""
    layout = steps.layout(0)
    row = int(np.diff(layout.offsets).argmax())
    members = layout.samples[layout.offsets[row] : layout.offsets[row + 1]]
    samples = tuple(corpus.train[int(i)] for i in members)
    return mode.collate(MicroBatch((samples,), max_length, pad_id=0)).position_ids is not None
