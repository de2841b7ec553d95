"""Metrics of evaluations as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def evaluation_text(line: EvaluationLine) -> str:
    """An evaluation line as one line of text."""
    parts = [
        f"{task} {name} {metric_text(point.value, point.scale)}"
        for task, metrics in line.tasks.items()
        for name, point in metrics.items()
    ]
    return f"evaluation at step {line.step}  " + "  ".join(parts)
