"""Metrics by arm: the rule of noise in the direction of the metric."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparison_results import ARM, RESULT
from mftkit.reporting.lines import MetricPoint
from mftkit.tools.compare.metrics import compare_metrics, values_of
from mftkit.tools.compare.result import ArmResult
from mftkit.tools.compare.rows import metric_rows, metric_texts


def points(value: float | None, *, higher: bool = True) -> dict[str, dict[str, MetricPoint]]:
    return {"x": {"e/m": MetricPoint(value, higher_is_better=higher)}}


def compared(values: dict[str, list[float]], *, higher: bool) -> list[ArmResult]:
    return [replace(ARM, label=label, metrics={"x": {"e/m": list(each)}}) for label, each in values.items()]


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_arm_is_the_highest_or_lowest_and_differences_are_judged_so(*, higher: bool) -> None:
    values = {"a": [0.50, 0.51, 0.50], "b": [0.70, 0.71, 0.70], "c": [0.69, 0.71, 0.70]}
    if not higher:
        values = {label: [-value for value in each] for label, each in values.items()}
    measured = {label: [[points(value, higher=higher)] for value in each] for label, each in values.items()}
    arms = compared(values, higher=higher)
    [found] = compare_metrics(arms, measured)
    assert found.best == "b"
    verdicts = {one.arm: one.verdict for one in found.differences}
    assert verdicts.pop("a") == "worse"
    assert verdicts == {"c": "no difference"}
    result = replace(RESULT, arms=arms, metrics=[found])
    [row] = metric_rows(result)
    assert row.best == [label == found.best for label in values]
    assert metric_texts(result) == [f"x e/m: {found.best} is better beyond noise than a."]


def test_several_models_of_a_seed_are_averaged_and_a_missing_one_leaves_a_gap() -> None:
    found = values_of([[points(0.2), points(0.4)], [], [points(None)], [points(0.5)]])
    assert found["x"]["e/m"] == [pytest.approx(0.3), None, None, 0.5]
    [one] = compare_metrics([replace(ARM, metrics=found)], {"mixed": [[points(0.2)]]})
    assert (one.best, one.differences) == (None, [])
