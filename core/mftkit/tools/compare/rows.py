"""A comparison's result as rows of text, for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from mftkit.base.formatting import duration, nats, number, whole
from mftkit.reporting.metric_text import metric_text
from mftkit.tools.compare.made_arms import SOUP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.tools.compare.result import ComparisonResult


@dataclass(frozen=True)
class TableRow:
    """A task, or a figure over all tasks, with one text per arm."""

    name: str
    cells: list[str]
    best: list[bool]
    """For each arm, whether it has the lowest figure of the row, or the best metric."""
    of_task: bool = True


def table_rows(result: ComparisonResult) -> list[TableRow]:
    """Best validation losses by task, then their mean, the mean rank and the time of one seed's runs."""
    arms = result.arms
    rows = [_losses(task, [arm.losses[task] for arm in arms]) for task in result.tasks]
    rows.append(_losses("mean of tasks", [arm.mean_by_seed for arm in arms], of_task=False))
    ranks = [arm.mean_rank for arm in arms]
    rows.append(TableRow("mean rank", [number(rank, ".2f") for rank in ranks], _lowest(ranks), of_task=False))
    times = ["-" if arm.seconds is None else duration(arm.seconds) for arm in arms]
    rows.append(TableRow("time", times, [False] * len(arms), of_task=False))
    return rows


def metric_rows(result: ComparisonResult) -> list[TableRow]:
    """The metrics of the last evaluations, a row for each task and metric; marked is the best of a row."""
    rows = []
    for one in result.metrics:
        values = [arm.metrics.get(one.task, {}).get(one.metric, []) for arm in result.arms]
        means = [_mean(each) for each in values]
        sign = -1 if one.higher_is_better else 1
        marked = _lowest([None if mean is None else sign * mean for mean in means])
        rows.append(
            TableRow(f"{one.task} {one.metric}", [_values(each, one.scale) for each in values], marked)
        )
    return rows


def metric_texts(result: ComparisonResult) -> list[str]:
    """What the rule of noise says of the metrics."""
    if not result.metrics or not result.noise.measured:
        return []
    texts = []
    for one in result.metrics:
        worse = [other.arm for other in one.differences if other.verdict == "worse"]
        if worse:
            texts.append(
                f"{one.task} {one.metric}: {one.best} is better beyond noise than {', '.join(worse)}."
            )
    if len(texts) < len(result.metrics):
        others = "No other metric" if texts else "No metric"
        texts.append(
            f"{others} differs beyond noise between its best arm and another one (the same rule for each)."
        )
    return texts


def budget_text(result: ComparisonResult) -> str:
    """The budget of a model of one task, in a sentence or two."""
    if not result.single:
        return f"Every arm trains {whole(result.steps)} steps over all tasks{_other_steps(result)}."
    rule = (
        "as many epochs over its own samples as the models of all tasks make"
        if result.budget == "epochs"
        else "as many steps as the models of all tasks"
    )
    each = ", ".join(
        f"{task} {whole(budget.steps)} steps ({budget.epochs:.3g} epochs)"
        for task, budget in result.single.items()
    )
    models = f"Models of all tasks train {whole(result.steps)} steps{_other_steps(result)}"
    return f"Budget: {result.budget}. {models}; a model of one task gets {rule}: {each}."


def start_text(result: ComparisonResult) -> str:
    """A sentence on whether the arms began alike; empty where that is not known."""
    if result.same_start is None:
        return ""
    if result.same_start:
        return (
            "All arms of a seed began with the same validation losses: same weights, tokenizer and samples."
        )
    return "WARNING: the arms did not begin with the same validation losses, so their results are not comparable."


def made_text(result: ComparisonResult) -> str:
    """A sentence on the arms that were not trained; empty without any."""
    made = [arm for arm in result.arms if arm.merge is not None]
    if not made:
        return ""
    soups = [arm.label for arm in made if arm.kind == SOUP]
    text = (
        f"Not trained: {', '.join(arm.label for arm in made)}. Their losses are those of one model for all tasks, "
        "not the best of several validations; their time is that of merging and measuring, without the runs that they "
        "are made of."
    )
    more = (
        f" {', '.join(soups)}: one model of all seeds, so it is not ranked and has no noise." if soups else ""
    )
    return text + more


def effect_texts(result: ComparisonResult) -> list[str]:
    """A sentence on each arm that never acted."""
    texts = []
    for arm in result.arms:
        if arm.same_as is not None:
            texts.append(
                f"{arm.label} trained exactly as {arm.same_as} did, to the last digit of every validation loss: what "
                "it changes had no effect in runs of this length."
            )
        elif arm.weights_moved is False:
            texts.append(
                f"{arm.label} never acted: all task weights of its balancer stayed 1 to the end (a window or warm-up "
                "may be longer than the run)."
            )
    return texts


def _other_steps(result: ComparisonResult) -> str:
    """The steps of arms that do not train as many as the compared spec."""
    others = [
        f"{arm.label} {whole(arm.steps)}" for arm in result.arms if arm.steps not in (None, result.steps)
    ]
    return f" (except: {', '.join(others)})" if others else ""


def _values(values: Sequence[float | None], scale: str) -> str:
    """The mean over seeds of a metric, and their standard deviation where there are several."""
    mean = _mean(values)
    known = [value for value in values if value is not None]
    text = metric_text(mean, scale)
    return text if mean is None or len(known) < 2 else f"{text} ±{metric_text(stdev(known), scale)}"


def _losses(name: str, by_arm: Sequence[Sequence[float | None]], *, of_task: bool = True) -> TableRow:
    means = [_mean(losses) for losses in by_arm]
    return TableRow(name, [_spread(losses) for losses in by_arm], _lowest(means), of_task)


def _spread(losses: Sequence[float | None]) -> str:
    """The mean over seeds, and their standard deviation where there are several."""
    mean = _mean(losses)
    known = [loss for loss in losses if loss is not None]
    return nats(mean) if mean is None or len(known) < 2 else f"{nats(mean)} ±{stdev(known):.4f}"


def _mean(losses: Sequence[float | None]) -> float | None:
    known = [loss for loss in losses if loss is not None]
    return fmean(known) if known and len(known) == len(losses) else None


def _lowest(figures: Sequence[float | None]) -> list[bool]:
    shown = [None if figure is None else round(figure, 4) for figure in figures]
    known = [figure for figure in shown if figure is not None]
    return [len(known) > 1 and figure is not None and figure == min(known) for figure in shown]
