"""Confidence intervals of metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.interfaces.evaluator import Metric, Verdict

LEVEL = 0.95
_Z = 1.959963984540054
"""Quantile of the standard normal distribution at (1 + LEVEL) / 2."""
RESAMPLES = 1000


@dataclass(frozen=True)
class MetricValue:
    """A metric over the rows of a task, with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    rows: int
    higher_is_better: bool
    scale: str

    def to_json(self) -> dict[str, float | int | bool | str]:
        """As in evaluation.json and metrics.jsonl."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "rows": self.rows,
            "higher_is_better": self.higher_is_better,
            "scale": self.scale,
        }


def metric_values(
    metrics: Sequence[Metric],
    verdicts: Sequence[Sequence[Verdict]],
    summary: Callable[[Sequence[Sequence[Verdict]]], dict[str, float]],
    seed: int,
) -> dict[str, MetricValue]:
    """Each metric with its interval.

    Wilson's interval where each row is either right or wrong; otherwise the percentiles of ``summary`` over rows that
    are drawn again with replacement (bootstrap), ``RESAMPLES`` times.
    """
    values = summary(verdicts)
    found = {}
    drawn: list[dict[str, float]] | None = None
    for metric in metrics:
        value, rows = values[metric.name], len(verdicts)
        shares = _right_or_wrong(metric.name, verdicts)
        if shares is not None and math.isclose(value, sum(shares) / rows, abs_tol=1e-12):
            low, high = wilson(sum(shares), rows)
        else:
            drawn = drawn if drawn is not None else _bootstrap(verdicts, summary, seed)
            series = [each[metric.name] for each in drawn]
            tail = (1 - LEVEL) / 2
            low, high = (float(np.quantile(series, at)) for at in (tail, 1 - tail))
        found[metric.name] = MetricValue(value, low, high, rows, metric.higher_is_better, metric.scale)
    return found


def wilson(right: float, rows: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, eq. 1), at ``LEVEL``.

    >>> tuple(round(bound, 4) for bound in wilson(8, 10))
    (0.4902, 0.9433)
    """
    share, spread = right / rows, _Z**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = _Z / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _right_or_wrong(name: str, verdicts: Sequence[Sequence[Verdict]]) -> list[float] | None:
    """The rows' scores, if each row is either right or wrong: all its verdicts say the same, 0 or 1."""
    rows = [{_zero_or_one(name, verdict) for verdict in row} for row in verdicts]
    if any(len(row) != 1 or None in row for row in rows):
        return None
    return [float(score) for row in rows for score in row if score is not None]


def _zero_or_one(name: str, verdict: Verdict) -> float | None:
    """The score of a metric, or whether the answer passed for one that only a summary knows; None for other numbers."""
    score = verdict.scores.get(name, verdict.passed)
    return None if score not in (0, 1) or score is None else float(score)


def _bootstrap(
    verdicts: Sequence[Sequence[Verdict]],
    summary: Callable[[Sequence[Sequence[Verdict]]], dict[str, float]],
    seed: int,
) -> list[dict[str, float]]:
    random = np.random.default_rng(seed)
    rows = random.integers(len(verdicts), size=(RESAMPLES, len(verdicts)))
    return [summary([verdicts[i] for i in each]) for each in rows.tolist()]
