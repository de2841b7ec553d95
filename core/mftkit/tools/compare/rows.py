"""compare.json as rows of text, for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from mftkit.base.formatting import duration, nats, whole

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Row:
    """A task, or a figure over all tasks, with a text an arm."""

    name: str
    cells: list[str]
    best: list[bool]
    """Which arms have the lowest figure of the row."""
    of_task: bool = True


def rows(document: dict[str, Any]) -> list[Row]:
    """Best validation losses task by task, then their mean, the mean rank and the time of a seed's runs."""
    arms = document["arms"]
    made = [_losses(task, [arm["losses"][task] for arm in arms]) for task in document["tasks"]]
    made.append(_losses("mean of tasks", [arm["mean_by_seed"] for arm in arms], of_task=False))
    ranks = [arm["mean_rank"] for arm in arms]
    made.append(
        Row("mean rank", ["-" if r is None else f"{r:.2f}" for r in ranks], _lowest(ranks), of_task=False)
    )
    times = ["-" if arm["seconds"] is None else duration(arm["seconds"]) for arm in arms]
    made.append(Row("time", times, [False] * len(arms), of_task=False))
    return made


def budget_told(document: dict[str, Any]) -> str:
    """What a model of one task gets, in a sentence."""
    shares = document["single"]
    if not shares:
        return f"Every arm trains {whole(document['steps'])} steps over all tasks."
    what = (
        "as many epochs over its own samples as the models of all tasks make"
        if document["budget"] == "epochs"
        else "as many steps as the models of all tasks"
    )
    each = ", ".join(
        f"{task} {whole(got['steps'])} steps ({got['epochs']:.3g} epochs)" for task, got in shares.items()
    )
    return (
        f"Budget: {document['budget']}. Models of all tasks train {whole(document['steps'])} steps; a model of one "
        f"task gets {what}: {each}."
    )


def start_told(document: dict[str, Any]) -> str:
    """Whether the arms began alike; empty where that is not known."""
    if document["same_start"] is None:
        return ""
    if document["same_start"]:
        return (
            "All arms of a seed began with the same validation losses: same weights, tokenizer and samples."
        )
    return "WARNING: the arms did not begin with the same validation losses, so that they cannot be compared."


def _losses(name: str, by_arm: Sequence[Sequence[float | None]], *, of_task: bool = True) -> Row:
    means = [_mean(losses) for losses in by_arm]
    return Row(name, [_spread(losses) for losses in by_arm], _lowest(means), of_task)


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
