"""The learning rate by the step, and what an extension makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from mftkit import MftError, Reporter
from mftkit.spec import TrainingSpec
from mftkit.training.schedule import Extension, RunSchedule, check_schedule, extend, warmup_steps

SETTINGS = {"learning_rate": 1.0, "min_learning_rate": 0.1, "warmup": 0.1}


def training(**changes: Any) -> TrainingSpec:
    return TrainingSpec(**(SETTINGS | changes))


def rate(step: int, total: int, **changes: Any) -> float:
    settings = training(**changes)
    return RunSchedule.of(settings, total).rate(step, settings)


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


WSD = {"name": "wsd", "options": {"decay": 0.2}}


def test_wsd_stays_at_the_peak_and_falls_in_the_last_part() -> None:
    rates = [rate(step, 100, scheduler=WSD) for step in range(1, 101)]
    assert rates[9:80] == [1.0] * 71
    assert rates[84] == pytest.approx(0.1 + 0.9 * 0.5)  # 1 - the root of a quarter of the decay
    assert rates[-1] == pytest.approx(0.1)
    # The peak does not depend on the end, so a run that stopped before the decay is extended without a trace.
    longer = extended("stretch", 1000, step=60, scheduler=WSD)
    assert (longer.rate_before, longer.rate) == (1.0, 1.0)
    assert extended("hold", 200, scheduler=WSD).rate == pytest.approx(0.1)


def test_a_decay_that_does_not_fit_is_refused() -> None:
    long = {"name": "wsd", "options": {"decay": 95}}
    with pytest.raises(MftError, match="decay: 95 is 95 of the 100 steps, and the warmup takes 10"):
        check_schedule(training(scheduler=long), 100, Reporter())
    with pytest.raises(MftError, match="95 of the 60 steps"):
        extended("stretch", 60, step=50, scheduler=long)
    check_schedule(training(scheduler=WSD), 1, Reporter())


def test_a_minimum_that_is_not_reached_is_noted() -> None:
    noted: list[str] = []

    class Notes(Reporter):
        def note(self, text: str) -> None:
            noted.append(text)

    for scheduler in ("constant", "cosine", WSD):
        check_schedule(training(scheduler=scheduler), 100, Notes())
    assert noted == ['training.min_learning_rate has no effect with scheduler "constant"']


def extended(way: str, total: int, step: int = 100, **changes: Any) -> Extension:
    settings = training(extension=way, **changes)
    return extend(RunSchedule.of(settings, 100), 100, total, step, settings)


def test_a_stretched_schedule_reaches_the_minimum_at_the_new_end_and_keeps_the_steps_of_its_warmup() -> None:
    settings = training()
    longer = extended("stretch", 200)
    assert (longer.schedule.warmup, longer.schedule.end) == (10, 200)
    assert longer.schedule.rate(200, settings) == pytest.approx(0.1)
    assert longer.rate_before == pytest.approx(0.1)
    assert longer.rate == longer.schedule.rate(101, settings)
    assert longer.rate > 0.5
    shorter = extended("stretch", 50, step=5)
    assert [shorter.schedule.rate(step, settings) for step in (10, 50)] == pytest.approx([1.0, 0.1])
    assert str(shorter).startswith(
        "the run ends at step 50 instead of 100; schedule stretched to the new end ("
    )


def test_a_held_schedule_keeps_its_last_learning_rate() -> None:
    settings = training()
    longer = extended("hold", 200)
    assert longer.schedule == RunSchedule.of(settings, 100)
    assert [longer.schedule.rate(step, settings) for step in (100, 101, 200)] == pytest.approx([0.1] * 3)
    assert "schedule kept, and held from step 100 (learning rate 0.1, then 0.1)" in str(longer)
    assert extended("hold", 200, scheduler="constant").rate == 1.0
    assert extended("hold", 60, step=50).schedule.end == 100  # cut off


def test_a_learning_rate_of_0_is_not_held() -> None:
    with pytest.raises(MftError, match=r'"hold" would train at learning rate 0'):
        extended("hold", 200, min_learning_rate=0.0)
    assert extended("hold", 60, step=50, min_learning_rate=0.0).rate > 0
