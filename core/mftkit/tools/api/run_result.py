"""The result of a run, as Python has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mftkit.base.json_files import read_json_object
from mftkit.reporting.outcome import Outcome
from mftkit.reporting.plan import Plan
from mftkit.runs.record import read_run
from mftkit.runs.reference_loading import load_model
from mftkit.runs.series import MEAN, validation_losses
from mftkit.tools.api.frames import metrics_frame, task_metrics_frame
from mftkit.tools.api.html import losses_table
from mftkit.tools.api.progress import without_other_progress
from mftkit.tools.report.writing import RUN_REPORT, report_run
from mftkit_registry import MftError

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.runs.record import RunRecord


class BestLoss(NamedTuple):
    """The lowest validation loss of a task after a step."""

    step: int
    loss: float
    """Nats per token."""


@dataclass(frozen=True)
class RunResult(Outcome):
    """How a run ended, and what it left in its directory."""

    path: Path = Path()
    """The run directory."""
    planned: Plan | None = field(default=None, repr=False, compare=False)
    """The plan of a dry run; None for a run, which has it on disk."""

    @cached_property
    def record(self) -> RunRecord:
        """The files of the run directory. Raises MftError after a dry run, which writes none."""
        if self.reason == "planned":
            raise MftError("a dry run has no metrics, no model and no report; run without dry_run=True")
        return read_run(self.path)

    @property
    def plan(self) -> Plan:
        """The plan that was made before the first step. Raises MftError if the directory has none."""
        if self.planned is not None:
            return self.planned
        file = self.path / "plan.json"
        try:
            return Plan.from_json(read_json_object(file))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MftError(f"{file} cannot be read: {type(error).__name__}: {error}") from error

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per line of metrics.jsonl: event, step, epoch, loss, ..., and ``tasks.NAME.loss`` for each task."""
        return metrics_frame(self.record)

    @cached_property
    def task_metrics(self) -> pd.DataFrame:
        """The same numbers in long form: one row per line and task."""
        return task_metrics_frame(self.record)

    @cached_property
    def best(self) -> dict[str, BestLoss]:
        """Each task's lowest validation loss and its step; without tasks that have no validation."""
        found = validation_losses(self.record.valid, self.record.tasks)
        return {each.name: BestLoss(each.step, each.best) for each in found if each.name != MEAN}

    def model(self, which: str | int | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Load a model of the run, in evaluation mode, and its tokenizer.

        Args:
            which: None: the run's ``model/``, best by the mean over tasks, or the newest checkpoint if the run has not
                ended; a step, "last", "best" or "best:TASK": a checkpoint, or the best of a task, if it was kept.

        Raises:
            MftError: the run has no such model.
        """
        if self.reason == "planned":
            raise MftError("a dry run has no model; run without dry_run=True")
        with without_other_progress():
            return load_model(str(self.path) if which is None else f"{self.path}@{which}")

    def report(self) -> Path:
        """Write report.html from what the run directory holds now, and return its path."""
        return report_run(self.record.path)

    def _repr_html_(self) -> str:
        if self.reason == "planned":
            return f"<p>planned: {self.plan.steps} steps, to be written to <code>{self.path}</code></p>"
        found = validation_losses(self.record.valid, self.record.tasks)
        page = self.path / RUN_REPORT
        return losses_table(self.record.name, self, found, page if page.is_file() else self.path)


def open_run(path: str | Path) -> RunResult:
    """The result of a run that is on disk, finished or not.

    The reason of a run that has not ended is "not ended". Raises MftError if the directory holds no run.
    """
    run = read_run(Path(path).expanduser().absolute())
    if run.end is None:
        return RunResult(run.state, run.last_step, None, path=run.path)
    end = run.end
    return RunResult(end.reason, end.step, end.best_step, end.error, stopped_by=end.stopped_by, path=run.path)
