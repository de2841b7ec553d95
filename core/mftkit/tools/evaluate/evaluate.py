"""Evaluates a model on disk by a spec."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.data.tokens.token_cache import TokenCache
from mftkit.evaluation.evaluations import Evaluations, ModelToEvaluate
from mftkit.evaluation.row_losses import measured
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.runs.reference import find_weights
from mftkit.runs.reference_loading import open_weights
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.evaluate.page import PAGE, write_page
from mftkit.tools.validation_losses import load_measured
from mftkit.training.base_content import base_content
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.data.tokens.token_cache import TableSource
    from mftkit.evaluation.results import EvaluationResults
    from mftkit.evaluation.rows import RowsToEvaluate
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.validation_losses import MeasuredModel


@dataclass(frozen=True)
class EvaluationRun:
    """What was evaluated, and what was found."""

    model: str
    directory: Path
    results: EvaluationResults
    page: Path
    """evaluation.html."""


@with_own_plugins
def evaluate(
    spec: Spec,
    reference: str | Path,
    reporter: Reporter,
    *,
    output: Path,
    tasks: Sequence[str] = (),
) -> EvaluationRun:
    """Evaluate what a reference stands for on the tasks of a spec that have a section ``evaluate``.

    An evaluation that was stopped continues: answers in ``output`` are used again, if weights, prompts and settings
    are the same.

    Args:
        spec: names the tasks and their evaluators.
        reference: to the weights.
        reporter: receives progress and notes.
        output: directory of the results.
        tasks: names of the tasks that are evaluated; empty: all.

    Raises:
        MftError: nothing is to be evaluated, or something cannot be used.
    """
    _check_tasks(spec, tasks)
    if output.exists() and not output.is_dir():
        raise MftError(f"--output {output}: is a file; give a directory, which may be missing")
    model = load_measured(spec, reference, reporter)
    about = {"model": str(reference), "place": model.place}
    results = evaluate_measured(
        spec, model, _identity(reference, model), reporter, output=output, about=about, tasks=tasks
    )
    page = write_page(output, str(reference), results) if model.batcher.processes.is_main else output / PAGE
    return EvaluationRun(str(reference), output, results, page)


def evaluate_measured(
    spec: Spec,
    model: MeasuredModel,
    weights: str,
    reporter: Reporter,
    *,
    output: Path,
    about: JsonObject,
    tasks: Sequence[str] = (),
) -> EvaluationResults:
    """As ``evaluate``, of a model in memory and without a page.

    Args:
        spec: names the tasks and their evaluators.
        model: the model.
        weights: identifies its weights: answers in ``output`` are used again if they are the same.
        reporter: receives progress and notes.
        output: directory of the results.
        about: what evaluation.json says about the model.
        tasks: names of the tasks that are evaluated; empty: all.

    Raises MftError as ``evaluate`` does.
    """
    evaluations = Evaluations(
        spec,
        _to_evaluate(weights, model, reporter),
        model.batcher.processes,
        reporter,
        output,
        tasks or None,
    )
    return evaluations.run(output, about)


def _check_tasks(spec: Spec, names: Sequence[str]) -> None:
    known = [task.name for task in tasks_to_evaluate(spec)]
    if not known:
        raise MftError(
            "SPEC: no task has a section evaluate, so there is nothing to evaluate; add one, such as "
            '"evaluate": {"evaluators": [NAME]} (mft plugins list shows the evaluators)'
        )
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise MftError(
                f"--task: the spec evaluates no task {name!r}; it evaluates {', '.join(known)}{hint}"
            )


def _to_evaluate(weights: str, model: MeasuredModel, reporter: Reporter) -> ModelToEvaluate:
    def losses(source: TableSource, rows: RowsToEvaluate, spec: Spec) -> Sequence[tuple[float, int]]:
        table, _fingerprint, _cached = TokenCache(spec, model.tokenizer, reporter).table(source)
        names = tuple(each.name for each in source.sources)
        return measured(table, names, rows, spec.max_length, model.losses)

    return ModelToEvaluate(
        model.model,
        model.tokenizer,
        model.adapter,
        losses,
        model.precision.autocast,
        weights,
    )


def _identity(reference: str | Path, model: MeasuredModel) -> str:
    """What the weights are recognised by, with the dtype of the arithmetic."""
    source = open_weights(find_weights(reference, "MODEL"))
    content = source.fingerprint() or base_content(model.place) or model.place
    return hashlib.sha256(f"{content} {model.precision}".encode()).hexdigest()
