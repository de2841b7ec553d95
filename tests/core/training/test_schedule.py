"""The learning rate by the step, and what an extension makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from mftkit.spec import TrainingSpec
from mftkit.training.schedule import Schedule, warmup_steps

SETTINGS = {"learning_rate": 1.0, "min_learning_rate": 0.1, "warmup": 0.1}


def training(**changes: Any) -> TrainingSpec:
    return TrainingSpec(**(SETTINGS | changes))


def rate(step: int, total: int, **changes: Any) -> float:
    settings = training(**changes)
    return Schedule.of(settings, total).rate(step, settings)


@pytest.mark.parametrize("scheduler", ["cosine", "linear"])
def test_rises_linearly_to_the_peak_and_falls_to_the_least(scheduler: str) -> None:
    rates = [rate(step, 100, scheduler=scheduler) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[9] == max(rates)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_linear_is_half_way_in_the_middle() -> None:
    assert rate(55, 100, scheduler="linear") == pytest.approx(0.55)


def test_constant_stays_at_the_peak() -> None:
    assert rate(100, 100, scheduler="constant") == 1.0


def test_no_warmup_starts_below_nothing() -> None:
    assert rate(1, 10, warmup=0, scheduler="constant") == 1.0


def test_warmup_of_one_or_more_is_in_steps() -> None:
    assert warmup_steps(7, 100) == 7
    assert warmup_steps(0.07, 100) == 7
