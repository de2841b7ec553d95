"""``mftkit.evaluate``: the validation losses of a model, and what its answers are worth, from Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, perplexity, whole
from mftkit.reporting.metric_text import METRIC_HEADINGS, metric_rows
from mftkit.runs.reference import find_weights
from mftkit.tools.api.given_data import GivenData, load_given, written_temporarily
from mftkit.tools.api.html import table
from mftkit.tools.api.progress import shown
from mftkit.tools.api.run_result import RunResult
from mftkit.tools.evaluate.evaluate import evaluate as measured
from mftkit.tools.validation_losses import TaskLoss, validation_losses
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from mftkit.evaluation.intervals import MetricValue
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.api.given_data import Overrides, SpecSource, TaskData


@dataclass(frozen=True)
class EvaluationResult:
    """What a model achieves on validation rows."""

    model: str
    """The reference to the weights."""
    losses: dict[str, TaskLoss]
    """By task: the loss in nats per token, and the numbers of loss tokens and samples."""
    evaluated: dict[str, dict[str, MetricValue]] = field(default_factory=dict)
    """By task and "EVALUATOR/METRIC": what the evaluators measured; empty without ``output``."""

    @property
    def mean(self) -> float:
        """The mean of the tasks' losses."""
        return fmean(task.loss for task in self.losses.values())

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per task: task, loss, perplexity, tokens, samples."""
        import pandas as pd

        rows = [
            {
                "task": name,
                "loss": task.loss,
                "perplexity": math.exp(task.loss) if task.loss < 700 else math.inf,
                "tokens": task.tokens,
                "samples": task.samples,
            }
            for name, task in self.losses.items()
        ]
        return pd.DataFrame(rows)

    @property
    def evaluations(self) -> pd.DataFrame:
        """One row per task and metric: task, metric, value, low and high of its interval, rows."""
        import pandas as pd

        rows = [
            {
                "task": task,
                "metric": name,
                "value": each.value,
                "low": each.low,
                "high": each.high,
                "rows": each.rows,
            }
            for task, metrics in self.evaluated.items()
            for name, each in metrics.items()
        ]
        return pd.DataFrame(rows, columns=["task", "metric", "value", "low", "high", "rows"])

    def _repr_html_(self) -> str:
        rows = [
            [name, nats(task.loss), perplexity(task.loss), whole(task.tokens), whole(task.samples)]
            for name, task in self.losses.items()
        ]
        losses = table(["task", "validation loss", "perplexity", "loss tokens", "samples"], rows)
        if not self.evaluated:
            return losses
        return losses + table(METRIC_HEADINGS, metric_rows(self.evaluated))


def evaluate(
    model: RunResult | str | Path,
    spec: SpecSource | None = None,
    *,
    data: Mapping[str, TaskData] | None = None,
    tasks: Sequence[str] | None = None,
    output: str | Path | None = None,
    overrides: Overrides = (),
    plugins: Sequence[object] = (),
    progress: bool = True,
    reporter: Reporter | None = None,
) -> EvaluationResult:
    """Measure a model's exact validation loss for each task, and with ``output`` what the spec's evaluators measure.

    Args:
        model: a run's result, its directory (RUN, RUN@STEP, RUN@best:TASK), a directory of weights, or a hub id.
        spec: names the tasks and their validation rows; None: the spec of the run that made the model.
        data: validation rows by task, in place of the spec's, as for ``mftkit.run``; only these tasks are evaluated.
        tasks: names of the tasks to evaluate; None: all, or those of ``data``.
        output: a directory: the model answers, as by ``mft evaluate``, and prompts, answers and verdicts are written
            there; None: losses alone.
        overrides: changes of the spec, as for ``mftkit.run``.
        plugins: as for ``mftkit.run``.
        progress: as for ``mftkit.run``.
        reporter: receives messages and progress instead.

    Raises:
        MftError: the model or the rows cannot be used, or a task has no validation rows.
    """
    reference = str(model.path if isinstance(model, RunResult) else model)
    source = _own_spec(reference) if spec is None else spec
    given = None if not data else _validation_rows(data)
    with written_temporarily(given) as files, shown(progress, reporter) as display:
        loaded = load_given(source, overrides, files, plugins)
        chosen = _of_tasks(loaded, tasks if tasks is not None else list(data) if data else None)
        losses = validation_losses(chosen, reference, display)
        if output is None:
            return EvaluationResult(reference, losses)
        done = measured(chosen, reference, display, output=Path(output).absolute())
        return EvaluationResult(reference, losses, done.results.tasks)


def _own_spec(reference: str) -> Path:
    run = find_weights(reference, "evaluate").run
    if run is None:
        raise MftError(f"evaluate: {reference} belongs to no run, so it has no spec; give one")
    return run / "spec.json"


def _validation_rows(data: Mapping[str, TaskData]) -> GivenData:
    given = GivenData.of(data, alone="valid")
    for task, parts in given.tasks.items():
        if list(parts) != ["valid"] or isinstance(parts["valid"], int | float):
            raise MftError(
                f"data[{task!r}]: an evaluation takes validation rows alone; give the rows themselves"
            )
    return given


def _of_tasks(spec: Spec, names: Sequence[str] | None) -> Spec:
    if names is None:
        return spec
    known = [task.name for task in spec.tasks]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise MftError(f"tasks: the spec has no task {name!r}; its tasks are {', '.join(known)}{hint}")
    chosen = [task for task in spec.tasks if task.name in names]
    alone = spec.evaluation.model_copy(update={"tasks": []})
    return spec.model_copy(update={"tasks": chosen, "evaluation": alone})
