"""The plots of one run, as plotly figures: the JSON that plotly.js reads, made without plotly's Python classes.

Those check and copy each value, which takes longer than everything else on a run's page; a test gives them each plot.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from operator import attrgetter
from typing import TYPE_CHECKING

from mftkit.pages.colors import Entry, legend, pen
from mftkit.runs.series import MEAN, Series, curve, losses_of_task, summed, thinned, weights_of_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import TaskTraining, TrainLine
    from mftkit.runs.record import RunRecord

MANY = 12
"""A plot of more curves shows the one that is pointed at, not all of them in one box."""
FEW = 60
"""A curve of at most so many points shows each of them."""


@dataclass(frozen=True)
class Plot:
    """One figure of a page."""

    key: str
    """Its name within the run."""
    title: str
    caption: str
    """A description with the unit, also for readers who cannot see the plot."""
    json: str
    """plotly's data and layout, safe inside a script element."""
    height: int | None = None
    """In pixels; None: as high as the page's plots are."""
    width: int | None = None
    """The least in pixels: a narrower page scrolls it; None: as wide as the page allows."""
    legend: tuple[Entry, ...] = ()
    """Its own entries; empty: it uses the page's legend."""


@dataclass(frozen=True)
class Curve:
    """A series with its name and pen."""

    series: Series
    name: str = ""
    group: int | None = None
    """Index of its entry in the page's legend; None: the plot's title names it, and it has the color of text."""
    shape: str = "linear"
    first: bool = True
    """False: a further curve of the same entry, drawn thin."""
    is_mean: bool = False
    """Whether it is the mean of the others: dashed, in the color of text."""


def plots(run: RunRecord) -> list[Plot]:
    """All plots of a run's metrics; one without a number is left out."""
    train, stride = thinned(run.train)
    every = f" Every {stride}th line is drawn." if stride > 1 else ""
    made = [*_of_tasks(run, train, every), *_of_the_run(train, every)]
    return [plot for plot in made if plot is not None]


def _of_tasks(run: RunRecord, train: list[TrainLine], every: str) -> list[Plot | None]:
    valid, valid_stride = thinned(run.valid)
    every_valid = f" Every {valid_stride}th validation is drawn." if valid_stride > 1 else ""
    mean = Curve(curve(valid, lambda line: line.loss), MEAN, len(run.tasks), is_mean=True)
    losses = [*_each(run.tasks, partial(losses_of_task, valid)), *([mean] if len(run.tasks) > 1 else [])]
    return [
        plot("valid-loss", "Validation loss", f"Nats per token, by task.{every_valid}", losses),
        plot(
            "train-loss",
            "Training loss",
            f"Exact token mean since the previous line, nats per token, by task.{every}",
            _each(run.tasks, partial(losses_of_task, train)),
        ),
        _weights(run, train, every),
        _balancer(train, every),
        _shares(train, run.tasks, every),
        *(
            plot(key, f"{title} trained", f"{title} of each task, added up.{every}", _sums(run, number))
            for key, title, number in (
                ("tokens", "Loss tokens", lambda task: task.tokens),
                ("samples", "Samples", lambda task: task.samples),
            )
        ),
    ]


def _weights(run: RunRecord, train: list[TrainLine], every: str) -> Plot | None:
    """The tasks' weights; None where none of them moves."""
    if constant_weights(run) is not None:
        return None
    return plot(
        "weight",
        "Weights of tasks",
        f"The balancer's weight of each task; 1 is the mean over tasks.{every}",
        _each(run.tasks, partial(weights_of_task, train), shape="hv"),
    )


def constant_weights(run: RunRecord) -> dict[str, float] | None:
    """Each task's weight if no weight moves during the run, else None; a task without a number is left out."""
    weights: dict[str, float] = {}
    for line in run.train:
        for task, numbers in line.tasks.items():
            if numbers.weight is not None and not math.isclose(
                weights.setdefault(task, numbers.weight), numbers.weight, rel_tol=1e-6, abs_tol=1e-9
            ):
                return None
    return weights


def _balancer(train: list[TrainLine], every: str) -> Plot | None:
    """What the balancer reports of itself; None where it reports nothing."""
    names = list(dict.fromkeys(name for line in train for name in line.balancer))
    curves = [
        Curve(curve(train, partial(_balancer_metric, name)), name, index) for index, name in enumerate(names)
    ]
    caption = f"What the balancer reports of itself, in its own units.{every}"
    drawn = plot("balancer", "Metrics of the balancer", caption, curves)
    return None if drawn is None else replace(drawn, legend=tuple(legend(names)))


def _shares(train: list[TrainLine], tasks: Sequence[str], every: str) -> Plot | None:
    """Each task's share of the samples; None in a run whose shares do not change."""
    curves = [
        Curve(curve(train, partial(_share, name)), name, index)
        for index, name in enumerate(tasks)
        if any(name in line.shares for line in train)
    ]
    caption = f"Share of the samples that the mixer decided for each task.{every}"
    return plot("shares", "Shares of the samples", caption, curves)


def _share(name: str, line: TrainLine) -> float | None:
    return line.shares.get(name)


def _balancer_metric(name: str, line: TrainLine) -> float | None:
    return line.balancer.get(name)


def _of_the_run(train: list[TrainLine], every: str) -> list[Plot | None]:
    described = [
        ("loss", "Objective", "What training minimizes: the mean over the steps since the previous line."),
        ("tokens_per_second", "Throughput", "Tokens per second of training steps, without padding."),
        ("learning_rate", "Learning rate", "Learning rate of the step."),
        ("grad_norm", "Gradient norm", "Norm before clipping."),
        ("padding", "Padding", "Share of positions that hold padding."),
        ("auxiliary_loss", "Auxiliary loss", "The model's own loss, such as a router's."),
    ]
    return [
        plot(
            key.replace("_", "-"),
            title,
            f"{text}{every}",
            [Curve(curve(train, attrgetter(key)))],
            percent=key == "padding",
            from_zero=key in ("padding", "tokens_per_second"),
        )
        for key, title, text in described
    ]


def _each(tasks: Sequence[str], series: Callable[[str], Series], shape: str = "linear") -> list[Curve]:
    return [Curve(series(task), task, index, shape) for index, task in enumerate(tasks)]


def _sums(run: RunRecord, number: Callable[[TaskTraining], int]) -> list[Curve]:
    curves = []
    for index, task in enumerate(run.tasks):
        whole = summed(run.train, task, number)
        curves.append(Curve(Series(thinned(whole.x)[0], thinned(whole.y)[0]), task, index))
    return curves


def plot(
    key: str,
    title: str,
    caption: str,
    curves: Sequence[Curve],
    *,
    x_title: str = "step",
    percent: bool = False,
    from_zero: bool = False,
) -> Plot | None:
    """A plot of curves; None where no curve has a point."""
    drawn = [one for one in curves if any(y is not None for y in one.series.y)]
    if not drawn:
        return None
    axis: JsonObject = {"automargin": True, "zeroline": False}
    y_axis = {
        **axis,
        **({"rangemode": "tozero"} if from_zero else {}),
        **({"exponentformat": "e"} if key == "learning-rate" else {}),  # 2e-4, not 200µ
        **({"tickformat": ".1%"} if percent else {}),
    }
    layout = {
        "showlegend": False,
        "hovermode": "x" if len(drawn) == 1 else "x unified" if len(drawn) <= MANY else "closest",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": {**axis, "title": {"text": x_title}},
        "yaxis": y_axis,
    }
    figure = json.dumps({"data": [_trace(one) for one in drawn], "layout": layout}, allow_nan=False)
    return Plot(key, title, caption, script_safe(figure))


def _trace(one: Curve) -> JsonObject:
    drawn = pen(one.group) if one.group is not None and not one.is_mean else None
    few = len(one.series.x) <= FEW
    return {
        "type": "scatter",
        "x": _finite(one.series.x),
        "y": _finite(one.series.y),
        "name": escape(one.name, quote=False),
        "mode": "lines+markers" if few else "lines",
        "connectgaps": True,  # a step without samples of a task has no number of it
        "line": {
            **({"color": drawn.color} if drawn else {}),  # else the color of the page's text
            "dash": drawn.dash if drawn else "dash" if one.is_mean else "solid",
            "width": 2 if one.first else 1,
            "shape": one.shape,
            "simplify": False,
        },
        "opacity": 1.0 if one.first else 0.55,
        "marker": {"size": 5 if one.first else 4},
        "meta": {"group": one.group},
        "hovertemplate": "%{y:.6~g}" + ("" if one.name else "<extra></extra>"),
    }


def _finite(numbers: Sequence[float | None]) -> list[float | None]:
    """Without what JSON has no word for."""
    return [number if number is not None and math.isfinite(number) else None for number in numbers]


def script_safe(text: str) -> str:
    """JSON that cannot end the script element around it."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
