"""What makes a step of a run on disk the best: the validation loss, or the metric that its spec names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.reporting.scores import loss_scores, metric_scores
from mftkit.spec.training import LOSS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import EvaluationLine, ValidLine
    from mftkit.spec.training import BestBy


def best_by(spec: JsonObject) -> BestBy:
    """``training.best_by`` of a spec as JSON; that of earlier versions is the loss."""
    training = spec.get("training")
    found = training.get("best_by", LOSS) if isinstance(training, dict) else LOSS
    return found if isinstance(found, str | dict) else LOSS


def best_by_of(run: Path) -> BestBy:
    """``training.best_by`` of a run directory; the loss if its spec cannot be read."""
    try:
        return best_by(read_json_object(run / "spec.json"))
    except (OSError, ValueError):
        return LOSS


def best_by_text(by: BestBy) -> str:
    """What is the best, for "best by ...".

    >>> best_by_text("loss"), best_by_text({"a": "x/y"})
    ('mean validation loss', 'mean of x/y')
    """
    if by == LOSS:
        return "mean validation loss"
    names = [by] if isinstance(by, str) else list(dict.fromkeys(by.values()))
    return f"mean of {' and '.join(names)}"


def scores_by_step(
    by: BestBy, valid: Sequence[ValidLine], evaluations: Sequence[EvaluationLine]
) -> dict[int, dict[str, float]]:
    """Each task's score after each step that can be the best; lower is better."""
    if by == LOSS:
        return {line.step: loss_scores(line) for line in valid if line.step > 0}
    return {line.step: metric_scores(line, by) for line in evaluations if line.step > 0}
