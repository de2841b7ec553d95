"""Scores answers with an evaluator, and checks what it returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.evaluation.intervals import MetricValue, metric_values
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.evaluation.prompts import EncodedPrompt
    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.interfaces.evaluator import (
        Answer,
        Answered,
        EvaluationContext,
        EvaluationRow,
        Evaluator,
        Verdict,
    )


@dataclass(frozen=True)
class Scored:
    """What an evaluator found on the rows of a task."""

    metrics: dict[str, MetricValue]
    """By "EVALUATOR/METRIC"."""
    verdicts: Sequence[Sequence[Verdict]]


def build_evaluators(task: TaskToEvaluate) -> dict[str, Evaluator]:
    """The evaluators of a task, by name."""
    return {
        ref.name: installed.build(kinds.EVALUATOR, ref.name, ref.options) for ref in task.evaluate.evaluators
    }


def reads_answers(evaluator: Evaluator) -> bool:
    """Whether a model has to generate for it."""
    return evaluator.reads == "answers"


def scored(
    name: str, evaluator: Evaluator, context: EvaluationContext, answered: Sequence[Answered]
) -> Scored:
    """Verdicts and metrics. Raises MftError if the evaluator returns something else than its interface says."""
    verdicts = [list(row) for row in evaluator.score(answered, context)]
    expected = [max(1, len(row.answers)) for row in answered]
    if [len(row) for row in verdicts] != expected:
        raise MftError(
            f"evaluator {name}: score() must return a verdict for each answer of each row. Fix the plugin."
        )
    for row in verdicts:
        for verdict in row:
            if not all(math.isfinite(score) for score in verdict.scores.values()):
                raise MftError(f"evaluator {name}: a verdict has a score that is not finite. Fix the plugin.")
    metrics = metric_values(evaluator.metrics(), verdicts, evaluator.summary, context.seed)
    return Scored({f"{name}/{metric}": value for metric, value in metrics.items()}, verdicts)


def described(row: EvaluationRow, prompt: EncodedPrompt | None, answers: Sequence[Answer]) -> JsonObject:
    """A row for TASK.jsonl, without verdicts."""
    return {
        "id": row.id,
        "source": row.source,
        "prompt": None if prompt is None else prompt.text,
        "reference": row.reference,
        "answers": [
            {"text": each.text, "complete": each.complete, "tokens": each.tokens}
            | ({"reasoning": each.reasoning} if each.reasoning else {})
            for each in answers
        ],
        "verdicts": {},
    }
