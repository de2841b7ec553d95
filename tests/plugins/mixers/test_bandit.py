"""The bandit's shares against the formula, computed independently with numpy in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mftkit
from mftkit_plugins.mixers.bandit import Bandit, BanditOptions

TASKS = tuple(
    mftkit.TaskInfo(name, samples=samples, tokens=tokens, valid_samples=2)
    for name, samples, tokens in (("a", 700, 9000), ("b", 200, 8000), ("c", 100, 500))
)


def reference(
    history: list[tuple[list[float], list[float]]], prior: np.ndarray, t: float, a: float, e: float
) -> np.ndarray:
    """The docstring's formula: values as a sum of all rewards with decaying weights, not as a recursion."""
    rewards = np.array([1 - np.array(after) / np.array(before) for before, after in history])
    decay = a * (1 - a) ** np.arange(len(history))[::-1]
    q = decay @ rewards
    boltzmann = prior * np.exp(q / np.abs(q).max() / t)
    return np.asarray((1 - e) * boltzmann / boltzmann.sum() + e * prior)


@pytest.mark.parametrize("by", ["samples", "tokens"])
@pytest.mark.parametrize(("t", "a", "e"), [(1.0, 0.3, 0.1), (0.1, 1.0, 0.0), (5.0, 0.05, 0.5)])
def test_shares_follow_the_formula(t: float, a: float, e: float, by: str) -> None:
    options = BanditOptions.model_validate(
        {"temperature": t, "step_size": a, "exploration": e, "by": by, "prior_temperature": 2.0}
    )
    mixer, random = Bandit(options, TASKS), np.random.default_rng(1)
    sizes = np.array([700.0, 200.0, 100.0] if by == "samples" else [9000.0, 8000.0, 500.0])
    prior = np.sqrt(sizes)
    if by == "tokens":
        prior = prior * np.array([700 / 9000, 200 / 8000, 100 / 500])
    prior /= prior.sum()
    assert mixer.shares() == pytest.approx(prior.tolist(), rel=1e-12)
    history = []
    for step in range(1, 9):
        before = (1 + random.random(3)).tolist()
        after = (np.array(before) * (0.8 + 0.3 * random.random(3))).tolist()  # losses rise at times
        history.append((before, after))
        mixer.observe(step * 20, before, after)
        expected = reference(history, prior, t, a, e)
        assert mixer.shares() == pytest.approx(expected.tolist(), rel=1e-12)
        assert math.fsum(mixer.shares()) == pytest.approx(1, abs=1e-14)


def test_no_task_loses_its_original_proportion_beyond_the_temperature() -> None:
    mixer = Bandit(BanditOptions(temperature=0.5, exploration=0.0), TASKS)
    mixer.observe(20, [1.0, 1.0, 1.0], [2.0, 0.1, 1.0])
    prior = np.array([0.7, 0.2, 0.1])
    factor = np.array(mixer.shares()) / prior
    assert factor.max() / factor.min() <= math.exp(2 / 0.5)
    assert factor[1] == factor.max()
    assert factor[0] == factor.min()


def test_a_reward_that_is_not_finite_leaves_the_value() -> None:
    mixer = Bandit(BanditOptions(), TASKS)
    mixer.observe(20, [1.0, 2.0, 4.0], [0.5, 1.9, 3.0])
    values = list(mixer.values)
    mixer.observe(40, [math.nan, 0.0, 4.0], [1.0, 1.0, math.inf])
    assert mixer.values == [values[0], 0.7 * values[1], values[2]]


def test_a_low_temperature_does_not_overflow() -> None:
    mixer = Bandit(BanditOptions(temperature=1e-4, exploration=0.2), TASKS)
    mixer.observe(20, [1.0, 1.0, 1.0], [0.5, 0.9, 0.9])
    assert mixer.shares() == pytest.approx([0.8 + 0.2 * 0.7, 0.04, 0.02], rel=1e-12)
