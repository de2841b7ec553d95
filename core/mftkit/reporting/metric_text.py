"""Metrics of evaluations as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mftkit.base.formatting import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.reporting.lines import EvaluationLine


def metric_text(value: float | None, scale: str) -> str:
    """A number on the scale of its metric ("share", "points" or "nats").

    >>> metric_text(0.5, "share"), metric_text(2.5, "nats"), metric_text(None, "share")
    ('50.0 %', '2.5000', '-')
    """
    if value is None:
        return "-"
    if scale == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.4f}" if scale == "nats" else f"{value:.2f}"


def interval_text(low: float | None, high: float | None, scale: str) -> str:
    """The bounds of a metric's interval."""
    return f"{metric_text(low, scale)} to {metric_text(high, scale)}"


class MeasuredMetric(Protocol):
    """A metric of a task, as a line of metrics.jsonl or an evaluation has it."""

    @property
    def value(self) -> float | None:
        """The number."""

    @property
    def low(self) -> float | None:
        """Lower bound of its interval."""

    @property
    def high(self) -> float | None:
        """Upper bound of its interval."""

    @property
    def rows(self) -> int:
        """Rows that it was measured on."""

    @property
    def scale(self) -> str:
        """One of "share", "points" and "nats"."""


METRIC_HEADINGS = ["task", "metric", "value", "95 % interval", "rows"]
"""Of what ``metric_rows`` returns."""


def metric_rows(tasks: Mapping[str, Mapping[str, MeasuredMetric]]) -> list[list[str]]:
    """Task, metric, value, interval and number of rows of each metric, as text."""
    return [
        [
            task,
            name,
            metric_text(each.value, each.scale),
            interval_text(each.low, each.high, each.scale),
            whole(each.rows),
        ]
        for task, metrics in tasks.items()
        for name, each in metrics.items()
    ]


def evaluation_text(line: EvaluationLine) -> str:
    """An evaluation line as one line of text."""
    parts = [
        f"{task} {name} {metric_text(point.value, point.scale)}"
        for task, metrics in line.tasks.items()
        for name, point in metrics.items()
    ]
    return f"evaluation at step {line.step}  " + "  ".join(parts)
