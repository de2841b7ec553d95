"""Builds the components that need the data's counts, and refuses combinations that could not train."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.interfaces.tokenization import MicroBatch
from mftkit.plugins import installed, kinds
from mftkit.plugins.ownership import plugin_suffix
from mftkit.runs.checkpoint import check_state
from mftkit.spec.training import LOSS
from mftkit.training.balancing import LossRequests, weights_of
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.batches.sampler import BatchSampler
    from mftkit.data.corpus import Corpus
    from mftkit.interfaces.balancer import Balancer
    from mftkit.interfaces.component import TaskInfo
    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.interfaces.mixer import Mixer
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.spec import Spec


def build_balancer(spec: Spec, tasks: tuple[TaskInfo, ...]) -> Balancer:
    """The spec's balancer.

    Raises:
        MftError: it would end the run at its first step or, worse, at its last.
    """
    name = spec.balancer.name
    balancer: Balancer = installed.build(kinds.BALANCER, name, spec.balancer.options, tasks)
    requests = LossRequests.of(balancer)
    if requests.needs_validation < 0 or requests.validation_samples < 1:
        raise MftError(
            f"balancer: {name}: needs_validation must be 0 or more, and validation_samples 1 or more. "
            f"Fix the plugin{plugin_suffix(balancer)}."
        )
    if requests.compares == "validation" and not requests.needs_validation:
        raise MftError(
            f"balancer: {name} compares validation losses, so needs_validation must be 1 or more. "
            f"Fix the plugin{plugin_suffix(balancer)}."
        )
    weights_of(balancer, len(tasks))
    check_state("balancer", name, balancer)
    without = _without_validation(tasks)
    if requests.needs_validation and without:
        raise MftError(
            f"balancer: {name} needs validation samples, and these tasks have none: {', '.join(without)}. "
            "Set tasks[].valid."
        )
    return balancer


def check_mixer(spec: Spec, mixer: Mixer | None, tasks: tuple[TaskInfo, ...]) -> None:
    """Raise MftError if a mixer that changes the shares could not do so in this run."""
    if mixer is None or spec.mixing is None or not mixer.changes:
        return
    name, batch_size = spec.mixing.component.name, spec.training.batch_size
    if mixer.interval < 1 or mixer.validation_samples < 0:
        raise MftError(
            f"mixing.mixer: {name}: interval must be 1 or more, and validation_samples 0 or more. "
            f"Fix the plugin{plugin_suffix(mixer)}."
        )
    check_state("mixing.mixer", name, mixer)
    if mixer.interval * batch_size < len(tasks):
        raise MftError(
            f"mixing.mixer: {name} decides every {mixer.interval} steps of {batch_size} rows, fewer rows than the "
            f"{len(tasks)} tasks. Make its intervals longer, or set a larger training.batch_size."
        )
    without = _without_validation(tasks)
    if mixer.validation_samples and without:
        raise MftError(
            f"mixing.mixer: {name} needs validation samples, and these tasks have none: {', '.join(without)}. "
            "Set tasks[].valid."
        )


def check_early_stopping(spec: Spec, tasks: tuple[TaskInfo, ...]) -> None:
    """Raise MftError if early stopping watches tasks without validation samples."""
    stopping = spec.training.early_stopping
    if stopping is None or spec.training.best_by != LOSS:  # by a metric: the spec has been checked for it
        return
    without = _without_validation(tasks)
    lacking = [name for name in stopping.tasks or [task.name for task in tasks] if name in without]
    if lacking and (stopping.tasks or len(without) == len(tasks)):
        raise MftError(
            f"training.early_stopping: no validation samples in {', '.join(lacking)}. Set tasks[].valid."
        )


def _without_validation(tasks: tuple[TaskInfo, ...]) -> list[str]:
    return [task.name for task in tasks if not task.valid_samples]


def build_combiner(spec: Spec, tasks: tuple[TaskInfo, ...]) -> GradientCombiner | None:
    """The spec's gradient combiner, if it names one. Raises MftError if a checkpoint could not hold its state."""
    if spec.gradients is None:
        return None
    combiner: GradientCombiner = installed.build(
        kinds.GRADIENT_COMBINER, spec.gradients.name, spec.gradients.options, tasks
    )
    check_state("gradients", spec.gradients.name, combiner)
    return combiner


def isolates_samples(mode: TokenizationMode, corpus: Corpus, sampler: BatchSampler, max_length: int) -> bool:
    """Whether the mode keeps the samples of a row apart, judged by the row that holds the most samples."""
    layout = sampler.layout(0)
    row = int(np.diff(layout.offsets).argmax())
    members = layout.samples[layout.offsets[row] : layout.offsets[row + 1]]
    samples = tuple(corpus.train[int(i)] for i in members)
    return mode.collate(MicroBatch((samples,), max_length, pad_id=0)).position_ids is not None
