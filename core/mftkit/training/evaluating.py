"""Evaluates the model of a run as it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.data.tokens.token_cache import TokenCache
from mftkit.evaluation.evaluations import Evaluations, ModelToEvaluate
from mftkit.evaluation.row_losses import measured
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.training.run_evaluations import RunEvaluations
from mftkit.training.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from mftkit.batches.batcher import Batcher
    from mftkit.data.samples import Samples
    from mftkit.data.tokens.token_cache import TableSource
    from mftkit.evaluation.rows import RowsToEvaluate
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.training.logprob_model import LogprobModel
    from mftkit.training.run_parts import CheckedRun

DIRECTORY = "evaluations"
"""In the run directory: step-N for each evaluation, and what evaluators keep."""


def make_evaluations(
    checked: CheckedRun, model: Any, logprob_model: LogprobModel, batcher: Batcher, reporter: Reporter
) -> RunEvaluations | None:
    """Read and check what the spec evaluates; None if it evaluates nothing. Raises MftError (see ``Evaluations``)."""
    spec = checked.spec
    if not tasks_to_evaluate(spec):
        return None
    directory = spec_directory(spec)

    def sums(samples: Samples, tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return Validator(samples, tasks, batcher, checked.objective.dtype).losses(logprob_model)

    def losses(source: TableSource, rows: RowsToEvaluate, spec: Spec) -> Sequence[tuple[float, int]]:
        table, _fingerprint, _cached = TokenCache(spec, checked.tokenizer, reporter).table(source)
        names = tuple(each.name for each in source.sources)
        return measured(table, names, rows, spec.max_length, sums)

    evaluated = ModelToEvaluate(
        model,
        checked.tokenizer,
        checked.adapter,
        losses,
        checked.precision.autocast,
        sharded=checked.engine.shards_weights,
    )
    evaluations = Evaluations(spec, evaluated, checked.processes, reporter, directory)
    return RunEvaluations(evaluations, directory, checked.processes, spec.evaluation.every)


def spec_directory(spec: Spec) -> Path:
    """Where a run of this spec keeps its evaluations."""
    from pathlib import Path

    return Path(spec.output) / DIRECTORY
