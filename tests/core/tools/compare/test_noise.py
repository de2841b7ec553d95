"""The rule that says whether a difference is more than the noise of seeds, against scipy."""

from __future__ import annotations

import numpy as np
import pytest

from mftkit.tools.compare.noise import LEVEL, describe_differences, differences, t_quantile

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 12, 29])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9975, 0.9999])
def test_quantiles_of_t(freedom: int, probability: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-6)


def test_intervals_are_those_of_paired_differences() -> None:
    draw = np.random.default_rng(3)
    noise = draw.normal(0, 1, 5)  # of the seeds: every arm has it
    losses = {
        "a": list(2 + noise),
        "b": list(2.5 + noise + draw.normal(0, 0.05, 5)),
        "c": list(2.1 + draw.normal(0, 1, 5)),
    }
    found = {one.arm: one for one in differences(losses, "a")}
    assert set(found) == {"b", "c"}
    for arm, one in found.items():
        gap = np.array(losses[arm]) - np.array(losses["a"])
        level = 1 - (1 - LEVEL) / 2  # two arms beside the best
        low, high = stats.t.interval(level, 4, gap.mean(), stats.sem(gap))
        assert (one.mean, one.low, one.high) == pytest.approx((gap.mean(), low, high), rel=1e-6)
    assert found["b"].verdict == "worse"
    assert found["c"].verdict == "no difference"


def test_false_alarms_come_as_rarely_as_is_said() -> None:
    draw = np.random.default_rng(0)
    tries = 400
    alarms = 0
    for _ in range(tries):
        losses = {arm: list(draw.normal(0, 1, 3)) for arm in "abcd"}
        alarms += any(one.verdict != "no difference" for one in differences(losses, "a"))
    assert alarms / tries < 0.08


def test_equal_arms_do_not_differ_and_a_shift_without_noise_does() -> None:
    losses = {"a": [1.0, 2.0], "twin": [1.0, 2.0], "worse": [1.5, 2.5], "better": [0.5, 1.5]}
    verdicts = {one.arm: one.verdict for one in differences(losses, "a")}
    assert verdicts == {"twin": "no difference", "worse": "worse", "better": "better"}


def test_the_verdict_in_words() -> None:
    losses = {"a": [1.0, 2.0, 3.0], "b": [1.2, 1.9, 3.1], "c": [4.0, 5.01, 6.0]}
    found = differences(losses, "a")
    assert "noise was not measured" in describe_differences([], "a", 1)
    assert (
        describe_differences(found[:1], "a", 3)
        == "No difference beyond noise between a (lowest mean rank) and any other arm, over 3 seeds."
    )
    assert (
        describe_differences(found, "a", 3)
        == "a (lowest mean rank) is better beyond noise than c; no difference beyond noise from b (3 seeds)."
    )
    assert "nothing to compare" in describe_differences([], "a", 3)
    better = differences({"a": [1.0, 2.0], "b": [0.0, 1.0]}, "a")
    assert (
        describe_differences(better, "a", 2)
        == "a (lowest mean rank): worse beyond noise, by mean loss, than b (2 seeds)."
    )
