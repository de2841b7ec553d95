"""The numbers and sentences of a search, for the terminal and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit.base.formatting import nats, number
from mftkit.tools.compare.noise import differences
from mftkit.tools.mix_search.options import LOSS
from mftkit.tools.mix_search.result import BY_SIZE, named_candidates

if TYPE_CHECKING:
    from mftkit.tools.mix_search.result import SearchResult
    from mftkit.tools.mix_search.verified import VerifiedMixing, VerifiedMixings

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
    found = result.verified
    if found is None:
        return []
    return [
        Row(
            one.name,
            [
                shown(result, one.predicted_score),
                _with_deviation(result, one),
                *(shown(result, value) for value in one.measured.values()),
            ],
        )
        for one in found.mixings
    ]


def _with_deviation(result: SearchResult, one: VerifiedMixing) -> str:
    mean = shown(result, one.measured_score)
    return mean if one.deviation is None else f"{mean} ±{one.deviation:.4f}"


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
    notes = [f"{note[0].upper()}{note[1:]}." for note in result.notes]
    return [text for text in (surface, without, verified_text(result), *notes) if text]


def verified_text(result: SearchResult) -> str:
    """How well merging predicted training, and whether training gained by it."""
    found = result.verified
    if found is None or not found.mixings:
        return ""
    if found.rank_correlation is None:
        ranks = "A rank correlation needs three trained proportions that differ."
    else:
        by_task = ((task, found.of_task(task)) for task in result.by_task(result.best))
        each = ", ".join(f"{task} {number(value, '+.2f')}" for task, value in by_task)
        ranks = (
            f"Spearman rank correlation of predicted with measured values, over {len(found.mixings)} trained "
            f"proportions: {found.rank_correlation:+.2f} (by task: {each})."
        )
    return f"{ranks} {_noise(result, found)}"


def _noise(result: SearchResult, found: VerifiedMixings) -> str:
    """Whether the first of the trained proportions differs from each other, by the rule of comparisons."""
    seeds, (first, *others) = len(result.seeds), found.mixings
    if seeds < 2 or not others:
        return "One seed: the noise of training was not measured, see --seeds." if seeds < 2 else ""
    sign = -1 if result.higher_is_better else 1
    scores = {one.name: [sign * value for value in one.measured_by_seed] for one in found.mixings}
    verdicts = {"worse": "better beyond noise than", "better": "worse beyond noise than"}
    verdicts["no difference"] = "no different beyond noise from"
    each = differences(scores, first.name)
    parts = [
        f"{text} {', '.join(names)}"
        for verdict, text in verdicts.items()
        if (names := [one.arm for one in each if one.verdict == verdict])
    ]
    return f"Trained, {first.name} is {'; '.join(parts)} ({seeds} seeds; t-intervals at 95 %, Bonferroni)."
