"""Predicted losses of subsets in tables and sentences, for the terminal and the page."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from mftkit.tools.affinity.subsets import is_listed, subset_name

if TYPE_CHECKING:
    from mftkit.tools.affinity.agreement import Correlation
    from mftkit.tools.affinity.grouping import Grouping
    from mftkit.tools.affinity.prediction_result import GroupingResult, SubsetPrediction

Rows = list[tuple[str, list[str]]]
MOST_ROWS = 40
"""Rows of a table of all subsets; of more, the listed ones are shown."""
ALONE = "alone"


def subset_rows(found: SubsetPrediction, *, intervals: bool) -> Rows:
    """A row for each subset: the losses of its tasks, and their mean change from training alone."""
    count = len(found.tasks)
    every = len(found.subsets) <= MOST_ROWS
    rows = [("no further training", [*(f"{loss:.4f}" for loss in found.before), "-"])]
    for number, subset in enumerate(found.subsets):
        if not every and not is_listed(subset, count):
            continue
        cells = [_loss(found, number, task, intervals) if task in subset else "-" for task in range(count)]
        change = ALONE if len(subset) == 1 else _interval(found, number)
        rows.append((subset_name(subset, found.tasks), [*cells, change]))
    return rows


def affinity_rows(found: SubsetPrediction) -> Rows:
    """A row for each task: its mean predicted loss over the subsets with each task."""
    return [
        (name, [f"{loss:.4f}" for loss in row]) for name, row in zip(found.tasks, found.affinity, strict=True)
    ]


def grouping_rows(found: SubsetPrediction) -> Rows:
    """A row for each number of groups: its best grouping."""
    return [
        (_described(found, one.groups), [f"{one.loss:.4f}", "-" if number == 0 else _difference(one)])
        for number, one in enumerate(found.groupings)
    ]


def measured_rows(found: SubsetPrediction) -> Rows:
    """A row for each point: predicted and measured loss of a task in a subset."""
    if found.agreement is None:
        return []
    return [
        (
            subset_name(tuple(found.tasks.index(name) for name in point.subset), found.tasks),
            [point.task, f"{point.predicted:.4f}", f"{point.measured:.4f}", str(point.runs)],
        )
        for point in found.agreement.points
    ]


def proposal(found: SubsetPrediction) -> list[str]:
    """What to train together, in sentences."""
    best, chosen = found.best, found.proposed
    if chosen is best and len(best.groups) > 1:
        return [
            f"Proposed: train {_described(found, best.groups)} separately. Predicted mean loss {best.loss:.4f}, "
            f"{_difference(best)} against training all together. The grouping was chosen as the best of many, by the "
            "same samples, so part of the difference is chance."
        ]
    sentence = f"Proposed: train all tasks together. Predicted mean loss {chosen.loss:.4f}."
    if best is chosen:
        return [f"{sentence} No division into up to {len(found.groupings)} groups is predicted to be better."]
    return [
        f"{sentence} The best division, {_described(found, best.groups)}, differs by {_difference(best)}: not beyond "
        "noise."
    ]


def caution(found: SubsetPrediction) -> list[str]:
    """A sentence on predictions that no training can reach."""
    reached = [
        float(found.losses.values[row, task]) for row, subset in enumerate(found.subsets) for task in subset
    ]
    if min(reached) >= 0:
        return []
    return [
        "Some predicted losses are below 0, which no model reaches: training would leave the region in which the model "
        "is close to linear. At most their order means something; take the gradients later in training, or pass more "
        "--batches."
    ]


def agreement_sentences(found: SubsetPrediction) -> list[str]:
    """How far the measured losses bear the predictions out."""
    if found.agreement is None:
        return ["Whether these predictions hold is not known: compare them with real runs by --measured."]
    alike, pairs = found.agreement.ordered_alike
    within = found.agreement.within
    sentences = []
    if pairs:
        sentences.append(
            f"Of {pairs} pairs of measured subsets with a task in common, {alike} are predicted in the measured order."
        )
    sentences.append(
        f"Predicted and measured differences from a task's mean over its subsets: {_correlation(within)}."
    )
    sentences.append(
        f"The same of minus the number of steps, without any prediction: {_correlation(found.agreement.by_steps)}; a "
        "prediction that is not above it is of no use."
    )
    sentences.append(
        f"All predicted and measured losses: {_correlation(found.agreement.overall)}; this holds the tasks' different "
        "levels, which need no prediction."
    )
    return sentences


def _correlation(found: Correlation) -> str:
    if isnan(found.spearman):
        return f"no rank correlation, over {found.points} points"
    low, high = ("unknown" if isnan(end) else f"{end:+.2f}" for end in (found.low, found.high))
    return (
        f"Spearman {found.spearman:+.2f} (95% interval {low} to {high}), Kendall {found.kendall:+.2f}, one-sided "
        f"permutation p = {found.p:.3g}, over {found.points} points"
    )


def _described(found: SubsetPrediction, groups: Grouping) -> str:
    return " | ".join(" + ".join(names) for names in found.names(groups))


def _loss(found: SubsetPrediction, number: int, task: int, intervals: bool) -> str:
    loss = f"{found.losses.values[number, task]:.4f}"
    low, high = found.losses.low[number, task], found.losses.high[number, task]
    return f"{loss} ({low:.4f} to {high:.4f})" if intervals else loss


def _interval(found: SubsetPrediction, number: int) -> str:
    value, low, high = (
        float(ends[number]) for ends in (found.change.values, found.change.low, found.change.high)
    )
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def _difference(one: GroupingResult) -> str:
    value, low, high = (
        float(ends[0]) for ends in (one.difference.values, one.difference.low, one.difference.high)
    )
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
