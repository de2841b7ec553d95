"""The numbers and sentences of a search, for the terminal and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit.base.formatting import nats, number
from mftkit.tools.mix_search.options import LOSS
from mftkit.tools.mix_search.result import BY_SIZE, named_candidates

if TYPE_CHECKING:
    from mftkit.tools.mix_search.result import SearchResult

SHOWN = 3
"""Best candidates in the table; all are in mix.json."""
CAVEATS = (
    "A merged model is not a model trained with these proportions: its losses order proportions, and are no "
    "forecast of losses. --verify trains some of them.",
    "The validation samples have chosen the proportions, so measure the model that is trained with them on others.",
)


class Row(NamedTuple):
    """A row of a table."""

    name: str
    cells: list[str]


def title(result: SearchResult) -> str:
    """What the table shows."""
    what = "validation loss, nats per token" if result.options.by == LOSS else result.options.by
    seeds = len(result.seeds)
    over = f", mean over {seeds} seeds" if seeds > 1 else ""
    return f"{result.name}: shares of the tasks in {result.unit}, and {what} of the specialists merged by them{over}"


def headings(result: SearchResult) -> list[str]:
    """Names of the candidates."""
    return [name for name, _ in named_candidates(result, SHOWN)]


def share_rows(result: SearchResult) -> list[Row]:
    """A row for each task's share."""
    named = [each for _, each in named_candidates(result, SHOWN)]
    return [
        Row(f"share of {task}", [f"{each.shares[i]:.3f}" for each in named])
        for i, task in enumerate(result.tasks)
    ]


def value_rows(result: SearchResult) -> list[Row]:
    """A row for each task's value, and one for the mean that decides."""
    named = [each for _, each in named_candidates(result, SHOWN)]
    rows = [
        Row(task, [shown(result, result.by_task(each)[task]) for each in named])
        for task in result.by_task(result.best)
    ]
    return [*rows, Row(mean_name(result), [shown(result, result.value(each)) for each in named])]


def verified_rows(result: SearchResult) -> list[Row]:
    """A row for each trained model: predicted and measured mean, and the measured value of each task."""
    found = result.verification
    if found is None:
        return []
    return [
        Row(
            one.name,
            [
                shown(result, one.predicted_score),
                shown(result, one.measured_score),
                *(shown(result, value) for value in one.measured.values()),
            ],
        )
        for one in found.mixings
    ]


def verified_headings(result: SearchResult) -> list[str]:
    """Headings of ``verified_rows`` after the name."""
    return ["predicted", "measured", *result.by_task(result.best)]


def shown(result: SearchResult, value: float) -> str:
    """A loss or a metric as text."""
    return nats(value) if result.options.by == LOSS else number(value, ".4f")


def mean_name(result: SearchResult) -> str:
    """The name of what candidates are ranked by."""
    weights = {result.options.weights.get(task, 1.0) for task in result.by_task(result.best)}
    return "mean of tasks" if len(weights) == 1 else "weighted mean"


def sentences(result: SearchResult) -> list[str]:
    """What was found, in words."""
    best, size = result.value(result.best), result.value(result.baselines[BY_SIZE])
    gain = best - size if result.higher_is_better else size - best
    surface = (
        f"{len(result.candidates)} candidates were measured without training; the best is ahead of proportions by size "
        f"by {shown(result, gain)} in the {mean_name(result)}."
    )
    unused = [task for task, part in zip(result.tasks, result.best.shares, strict=True) if not part]
    without = f"A task with the share 0 is not trained: {', '.join(unused)}." if unused else ""
    return [text for text in (surface, without, verified_text(result), *result.notes) if text]


def verified_text(result: SearchResult) -> str:
    """How well merging predicted training."""
    found = result.verification
    if found is None or not found.mixings:
        return ""
    pick = max if result.higher_is_better else min
    best = pick(found.mixings, key=lambda one: one.measured_score)
    text = (
        f"Of {len(found.mixings)} trained proportions, {best.name} has the best measured {mean_name(result)}"
    )
    if found.rank_correlation is None:
        return f"{text}; rank correlation needs three that differ."
    by_task = ((task, found.of_task(task)) for task in result.by_task(result.best))
    each = ", ".join(f"{task} {number(value, '+.2f')}" for task, value in by_task)
    return (
        f"{text}; Spearman rank correlation of predicted with measured: {found.rank_correlation:+.2f} (by task: "
        f"{each})."
    )
