"""The plan of a run: its sizes, and what the user should know before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.data.streaming import describe_streaming
from mftkit.reporting.plan import Plan, PlannedTask
from mftkit.training.balancing import extra_work
from mftkit.training.compiling import describe_compiling
from mftkit.training.first_samples import first_samples
from mftkit.training.gradients import describe_memory
from mftkit.training.mixing_notes import describe_mixing
from mftkit.training.optimizer import describe_groups, group_parameters, trained_parameters
from mftkit.training.result_dtype import describe_result_dtype
from mftkit.training.row_weights import describe_row_weights
from mftkit.training.used_components import used_components

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mftkit.data.corpus import Corpus
    from mftkit.interfaces.tuning import Tuning
    from mftkit.spec import Spec
    from mftkit.training.run_parts import CheckedRun


def make_plan(checked: CheckedRun, model: nn.Module, model_notes: tuple[str, ...]) -> Plan:
    """The plan of a run.

    Args:
        checked: the run.
        model: what the tuning made of the loaded model.
        model_notes: sentences about how the model was loaded; empty ones are left out.
    """
    spec, corpus, sampler = checked.spec, checked.corpus, checked.sampler
    return Plan(
        name=spec.name,
        output=spec.output,
        tasks=_planned_tasks(spec, corpus),
        rows=sampler.rows_per_epoch,
        fill=sampler.tokens_per_epoch / (sampler.rows_per_epoch * spec.max_length),
        max_length=spec.max_length,
        steps=sampler.total,
        steps_per_epoch=sampler.steps_per_epoch,
        batch_size=spec.training.batch_size,
        parameters=sum(parameter_size(p) for p in model.parameters()),
        trainable=sum(parameter_size(p) for p in model.parameters() if p.requires_grad),
        device=str(checked.processes.device),
        processes=checked.processes.count,
        dtype=checked.precision.name,
        components=_component_names(spec, checked.adapter_name),
        notes=_notes(checked, model, model_notes),
        mixing=_describe_mixing(spec, corpus),
        first_samples=first_samples(corpus, checked.tokenizer),
        learning_rate=spec.training.peak_learning_rate,
        learning_rate_note=_describe_learning_rate(spec, checked.tuning),
    )


def _describe_learning_rate(spec: Spec, tuning: Tuning) -> str:
    """Where the learning rate comes from if the spec could have left it out; "" otherwise."""
    is_default = spec.training.peak_learning_rate == tuning.default_learning_rate
    return f"default for {spec.tuning.method}" if is_default else ""


def _describe_mixing(spec: Spec, corpus: Corpus) -> str:
    """How the tasks are mixed; "" if they are not. The shares of streamed tasks are in a note by themselves."""
    if spec.mixing is None or spec.data.streaming is not None:
        return ""
    return describe_mixing(spec.mixing, corpus)


def _planned_tasks(spec: Spec, corpus: Corpus) -> tuple[PlannedTask, ...]:
    sizes = np.bincount(corpus.train.task, minlength=len(corpus.tasks))
    tokens = [task.tokens for task in corpus.tasks] if spec.data.streaming is None else _tokens_of(corpus)
    total = sum(tokens)
    return tuple(
        PlannedTask(
            name=task.name,
            samples=int(size),
            tokens=own,
            share=own / total,
            valid_samples=task.valid_samples,
            truncated=report.truncated,
            dropped=report.dropped,
            skipped=report.skipped,
            drawn=None if spec.mixing is None or spec.data.streaming is not None else task.samples,
        )
        for task, report, size, own in zip(corpus.tasks, corpus.reports, sizes, tokens, strict=True)
    )


def _tokens_of(corpus: Corpus) -> list[int]:
    """Loss tokens of each task in the first chunk of a stream."""
    counts = np.bincount(corpus.train.task, corpus.train.loss_tokens, len(corpus.tasks))
    return [int(count) for count in counts]


def _notes(checked: CheckedRun, model: nn.Module, model_notes: tuple[str, ...]) -> tuple[str, ...]:
    tuning = checked.tuning
    groups = group_parameters(trained_parameters(model, tuning.base_model(model)), checked.spec.training)
    notes = (
        describe_streaming(checked.spec),
        describe_row_weights(checked.corpus),
        checked.mode_choice.describe(),
        *model_notes,
        describe_result_dtype(checked),
        *checked.adapter.notes(tuning.base_model(model)),
        *tuning.notes(model),
        *checked.optimizer.notes(groups),
        *describe_groups(checked.spec.training, groups),
        describe_compiling(checked),
        _describe_balancer_work(checked),
        describe_memory(checked.combiner, [p for p in model.parameters() if p.requires_grad]),
    )
    return tuple(note for note in notes if note)


def _describe_balancer_work(checked: CheckedRun) -> str:
    """The work that the balancer adds; "" if it adds none."""
    balancer, training, corpus = checked.balancer, checked.spec.training, checked.corpus
    lengths_of_task = [corpus.valid.lengths[corpus.valid.task == i] for i in range(len(corpus.tasks))]
    minibatch = sum(
        min(balancer.validation_samples, len(lengths)) * float(lengths.mean())
        for lengths in lengths_of_task
        if len(lengths)
    )
    step = checked.sampler.tokens_per_epoch / checked.sampler.steps_per_epoch
    several = training.batch_size > training.micro_batch_size * checked.processes.count
    several |= training.grouping == "task" and len(corpus.tasks) > checked.processes.count
    # A loss that is not linear makes a first pass over several micro-batches anyway.
    accumulates = several and checked.objective.linear
    share = extra_work(balancer, minibatch, step, accumulates=accumulates)
    name = checked.spec.balancer.name
    return f"balancer {name}: about {100 * share:.1f} % more arithmetic per step" if share else ""


def _component_names(spec: Spec, adapter: str) -> dict[str, str]:
    """By kind; several components of one kind are joined by commas."""
    names: dict[str, str] = {}
    for used in used_components(spec, adapter):
        name = f"{used['name']} ({used['distribution']} {used['version']})"
        names[used["kind"]] = f"{names[used['kind']]}, {name}" if used["kind"] in names else name
    return names


def parameter_size(parameter: Tensor) -> int:
    """How many numbers a parameter stands for, even if it is quantized and stored as fewer, packed ones."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else int(packed.shape.numel())
