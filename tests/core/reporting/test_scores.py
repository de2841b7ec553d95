"""Scores by which steps are compared."""

from __future__ import annotations

import math

import pytest

from mftkit.reporting.lines import MetricPoint
from mftkit.reporting.scores import score


@pytest.mark.parametrize("value", [None, math.nan, -math.inf, math.inf])
@pytest.mark.parametrize("higher", [True, False])
def test_a_metric_that_is_not_finite_is_the_worst(value: float | None, higher: bool) -> None:
    """In memory as in metrics.jsonl, where it is null."""
    assert score(MetricPoint(value, None, None, 1, higher, "share")) == math.inf
