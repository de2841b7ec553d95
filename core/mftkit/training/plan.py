"""The plan of a run that is put together: its sizes, and what a person should know before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.reporting.plan import Plan, PlannedTask
from mftkit.training.balancing import extra_work
from mftkit.training.environment import used_components
from mftkit.training.gradients import told_memory
from mftkit.training.repeats import told_mixing
from mftkit.training.row_weights import told_row_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mftkit.batches.sampler import BatchSampler
    from mftkit.data.corpus import Corpus
    from mftkit.spec import Spec
    from mftkit.training.setup import Draft


def plan_of(drafted: Draft, model: nn.Module, pad_told: str) -> Plan:
    """What is told before training.

    Args:
        drafted: the run.
        model: what the tuning made.
        pad_told: what was done for a pad token, "" for nothing.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    return make_plan(
        drafted.spec,
        drafted.corpus,
        drafted.steps,
        parameters=sum(size(p) for p in model.parameters()),
        trainable=sum(size(p) for p in trained),
        device=str(drafted.processes.device),
        processes=drafted.processes.count,
        dtype=drafted.dtype.name,
        components=_component_names(drafted.spec, drafted.adapter_name),
        notes=_notes(drafted, model, pad_told),
    )


def _notes(drafted: Draft, model: nn.Module, pad_told: str) -> tuple[str, ...]:
    tuning = drafted.parts.tuning
    family = drafted.adapter.notes(tuning.base_model(model))
    trained = [p for p in model.parameters() if p.requires_grad]
    notes = (
        told_row_weights(drafted.corpus),
        pad_told,
        *family,
        *tuning.notes(model),
        _told_work(drafted),
        told_memory(drafted.parts.combiner, trained),
    )
    return tuple(note for note in notes if note)


def _told_work(drafted: Draft) -> str:
    """What the balancer costs, where it costs anything."""
    balancer, training, corpus = drafted.parts.balancer, drafted.spec.training, drafted.corpus
    held = [corpus.valid.lengths[corpus.valid.task == i] for i in range(len(corpus.tasks))]
    minibatch = sum(
        min(balancer.validation_samples, len(lengths)) * float(lengths.mean())
        for lengths in held
        if len(lengths)
    )
    step = drafted.steps.tokens_per_epoch / drafted.steps.steps_per_epoch
    # A loss that is not linear makes a first pass over several micro-batches anyway.
    several = training.batch_size > training.micro_batch_size * drafted.processes.count
    several |= training.grouping == "task" and len(corpus.tasks) > drafted.processes.count
    share = extra_work(balancer, minibatch, step, accumulates=several and drafted.parts.loss.linear)
    name = drafted.spec.balancer.name
    return f"balancer {name}: about {100 * share:.1f} % more arithmetic a step" if share else ""


def _component_names(spec: Spec, adapter: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for used in used_components(spec, adapter):
        told = f"{used['name']} ({used['distribution']} {used['version']})"
        names[used["kind"]] = f"{names[used['kind']]}, {told}" if used["kind"] in names else told
    return names


def size(parameter: Tensor) -> int:
    """Numbers in a parameter, also where a quantised one is stored as fewer, packed."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else int(packed.shape.numel())


def make_plan(
    spec: Spec,
    corpus: Corpus,
    steps: BatchSampler,
    *,
    parameters: int,
    trainable: int,
    device: str,
    processes: int,
    dtype: str,
    components: dict[str, str],
    notes: tuple[str, ...],
) -> Plan:
    """The plan of a run whose parts are at hand."""
    total = sum(task.tokens for task in corpus.tasks)
    sizes = np.bincount(corpus.train.task, minlength=len(corpus.tasks))
    tasks = tuple(
        PlannedTask(
            name=task.name,
            samples=int(size),
            tokens=task.tokens,
            share=task.tokens / total,
            valid_samples=task.valid_samples,
            truncated=report.truncated,
            dropped=report.dropped,
            skipped=report.skipped,
            drawn=None if spec.mixing is None else task.samples,
        )
        for task, report, size in zip(corpus.tasks, corpus.reports, sizes, strict=True)
    )
    return Plan(
        name=spec.name,
        output=spec.output,
        tasks=tasks,
        rows=steps.rows_per_epoch,
        fill=steps.tokens_per_epoch / (steps.rows_per_epoch * spec.max_length),
        max_length=spec.max_length,
        steps=steps.total,
        steps_per_epoch=steps.steps_per_epoch,
        batch_size=spec.training.batch_size,
        parameters=parameters,
        trainable=trainable,
        device=device,
        processes=processes,
        dtype=dtype,
        components=components,
        notes=notes,
        mixing="" if spec.mixing is None else told_mixing(spec.mixing, corpus),
    )
