"""The metrics of a run's evaluations: a table of the first and the last one, and a plot per metric."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.base.formatting import whole
from mftkit.pages.colors import legend
from mftkit.pages.figures import Curve, plot
from mftkit.pages.tables import Cell, Table
from mftkit.reporting.metric_text import interval_text, metric_text
from mftkit.runs.series import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.pages.figures import Plot
    from mftkit.reporting.lines import EvaluationLine, MetricPoint


def evaluation_table(lines: Sequence[EvaluationLine]) -> Table | None:
    """Each metric of each task, before and after; None without evaluations."""
    if not lines:
        return None
    first, last = lines[0], lines[-1]
    rows = [
        (f"{task}: {name}", _cells(_point(first, task, name), point))
        for task, metrics in last.tasks.items()
        for name, point in metrics.items()
    ]
    headings = [
        "metric",
        f"step {whole(first.step)}",
        f"step {whole(last.step)}",
        "95 % interval",
        "change",
        "rows",
    ]
    caption = (
        "What the tasks' evaluators measured. A change within the interval may be chance; tasks that are not trained "
        "show what was learned for them, or forgotten."
    )
    return Table(caption, headings, rows)


def _point(line: EvaluationLine, task: str, name: str) -> MetricPoint | None:
    return line.tasks.get(task, {}).get(name)


def _cells(first: MetricPoint | None, last: MetricPoint) -> list[Cell]:
    return [
        Cell("-" if first is None else metric_text(first.value, first.scale)),
        Cell(metric_text(last.value, last.scale)),
        Cell(interval_text(last.low, last.high, last.scale)),
        Cell(_change(first, last)),
        Cell(whole(last.rows)),
    ]


def _change(first: MetricPoint | None, last: MetricPoint) -> str:
    if first is None or first.value is None or last.value is None:
        return "-"
    change = last.value - first.value
    if change == 0:
        return "none"
    better = (change > 0) == last.higher_is_better
    return f"{metric_text(abs(change), last.scale)} {'better' if better else 'worse'}"


def evaluation_plots(lines: Sequence[EvaluationLine]) -> list[Plot]:
    """One plot per metric, one curve per task; none for a single evaluation."""
    if len(lines) < 2:
        return []
    names = list(dict.fromkeys(name for line in lines for metrics in line.tasks.values() for name in metrics))
    return [each for number, name in enumerate(names) if (each := _plot(number, name, lines)) is not None]


def _plot(number: int, name: str, lines: Sequence[EvaluationLine]) -> Plot | None:
    tasks = [task for task, metrics in lines[-1].tasks.items() if name in metrics]
    steps = [float(line.step) for line in lines]
    curves = [
        Curve(Series(steps, [_value(line, task, name) for line in lines]), task, index)
        for index, task in enumerate(tasks)
    ]
    drawn = plot(f"evaluation-{number}", name, "As the evaluator measures it, by task.", curves)
    return None if drawn is None else replace(drawn, legend=tuple(legend(tasks)))


def _value(line: EvaluationLine, task: str, name: str) -> float | None:
    point = _point(line, task, name)
    return None if point is None else point.value
