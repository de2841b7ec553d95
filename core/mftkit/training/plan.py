"""What a run is about to do, told before it does it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mftkit.training.mixing import told_mixing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from mftkit.data.corpus import Corpus
    from mftkit.spec import Spec
    from mftkit.training.steps import Steps


@dataclass(frozen=True)
class PlannedTask:
    """One task of the plan."""

    name: str
    samples: int
    """Training samples, however many of them an epoch draws."""
    tokens: int
    """Counting tokens an epoch."""
    share: float
    """Of all counting tokens, 0..1."""
    valid_samples: int
    truncated: int
    dropped: int
    skipped: int
    drawn: int | None = None
    """Samples that an epoch draws, repeated ones included; None: each sample once."""


@dataclass(frozen=True)
class Plan:
    """A run before it starts."""

    name: str
    output: Path
    tasks: tuple[PlannedTask, ...]
    rows: int
    """Rows of the first epoch."""
    fill: float
    """Share of ``rows * max_length`` positions that hold tokens, 0..1."""
    max_length: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    parameters: int
    trainable: int
    device: str
    processes: int
    dtype: str
    components: dict[str, str]
    """Kind to "name (distribution version)"."""
    notes: tuple[str, ...]
    mixing: str = ""
    """How an epoch is mixed; nothing where it has every sample once."""

    def dump(self) -> dict[str, Any]:
        """As plan.json has it."""
        return {**asdict(self), "output": str(self.output)}


def size(parameter: Tensor) -> int:
    """Numbers in a parameter, also where a quantised one is stored as fewer, packed."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else int(packed.shape.numel())


def make_plan(
    spec: Spec,
    corpus: Corpus,
    steps: Steps,
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
