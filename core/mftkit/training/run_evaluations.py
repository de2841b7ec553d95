"""What a run evaluates, and when."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mftkit.reporting.lines import MetricPoint
from mftkit.training.metrics_lines import evaluation_line

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.batches.sampler import GlobalBatch
    from mftkit.evaluation.evaluations import Evaluations
    from mftkit.evaluation.intervals import MetricValue
    from mftkit.processes import Processes
    from mftkit.reporting.lines import EvaluationLine


@dataclass(frozen=True)
class RunEvaluations:
    """What a run evaluates, and when: before the first step, at the interval of the spec, and at the end."""

    evaluations: Evaluations
    directory: Path
    processes: Processes
    every: int | Literal["epoch"] | None

    def is_due_after(self, batch: GlobalBatch) -> bool:
        """Whether the interval of the spec ends with this step."""
        return self.every is not None and batch.is_due(self.every)

    def forget_after(self, step: int) -> None:
        """Remove the files of later steps, to which training has not come yet."""
        for path in self.directory.glob("step-*"):
            number = path.name.removeprefix("step-")
            if number.isdecimal() and int(number) > step:  # not a copy that the user has made
                shutil.rmtree(path)

    def line(self, step: int) -> EvaluationLine:
        """Evaluate, write the files of this step, and return the line; every process must call it."""
        started = time.perf_counter()
        results = self.evaluations.run(self.directory / f"step-{step}", {"step": step})
        tasks = {
            task: {name: _point(value) for name, value in metrics.items()}
            for task, metrics in results.tasks.items()
        }
        return evaluation_line(self.processes, step=step, tasks=tasks, seconds=time.perf_counter() - started)


def _point(value: MetricValue) -> MetricPoint:
    return MetricPoint(value.value, value.low, value.high, value.rows, value.higher_is_better, value.scale)
