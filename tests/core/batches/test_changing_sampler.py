"""Steps whose shares change: full batches, streams without repetition, and a function of what was drawn."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from mftkit.batches.changing_sampler import ChangingSampler
from mftkit.data.mixing import Mixture
from mftkit.interfaces.tokenization import Layout, TokenizationMode

TASK = np.repeat(np.arange(3), (40, 15, 6))
SHARES = ([0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4], [1.0, 1e-9, 1e-9])


class Filled(TokenizationMode):
    """As many samples a row as fit, in the given order."""

    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> Layout:
        offsets, used = [0], 0
        for place, sample in enumerate(order):
            if used + lengths[sample] > max_length:
                offsets.append(place)
                used = 0
            used += int(lengths[sample])
        return Layout(order, np.array([*offsets, len(order)]))


class Samples(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.lengths)

    def in_epoch(self, epoch: int) -> Samples:
        return self


def steps(interval: int = 3, batch_size: int = 4, seed: int = 1) -> ChangingSampler:
    lengths = np.random.default_rng(0).integers(2, 9, len(TASK))
    samples: Any = Samples(lengths=lengths, loss_tokens=lengths - 1, task=TASK)
    plan = ChangingSampler(
        samples,
        Filled(cast(Any, None)),
        tasks=3,
        seed=seed,
        batch_size=batch_size,
        max_length=16,
        epochs=3,
        max_steps=None,
        mixture=Mixture(TASK, (40, 15, 6), seed),
    )
    plan.start(interval)
    return plan


def decided(**settings: int) -> ChangingSampler:
    plan = steps(**settings)
    for shares in SHARES:
        plan.decide(np.array(shares))
    return plan


def members(plan: ChangingSampler, interval: int) -> list[int]:
    numbers = range(interval * plan.interval + 1, (interval + 1) * plan.interval + 1)
    return [int(sample) for number in numbers for row in plan[number].rows for sample in row]


@pytest.mark.parametrize(("interval", "batch_size"), [(3, 4), (1, 8), (7, 1), (3, 1)])
def test_an_interval_fills_its_steps_with_its_shares(interval: int, batch_size: int) -> None:
    plan = decided(interval=interval, batch_size=batch_size)
    for number, shares in enumerate(SHARES):
        counts = np.bincount(TASK[members(plan, number)], minlength=3)
        assert counts.tolist() == plan.draws[number]
        assert np.abs(counts / counts.sum() - shares).max() < 3 / counts.sum()
        for step in range(number * interval + 1, (number + 1) * interval + 1):
            assert 1 <= len(plan[step].rows) <= batch_size + (batch_size == 1)
            assert len(plan[step].rows) >= batch_size - 1


def test_no_sample_comes_again_before_the_others_of_its_task() -> None:
    plan, seen = decided(interval=5), Counter[int]()
    for interval in range(len(SHARES)):
        seen.update(members(plan, interval))
        for task in range(3):
            counts = [seen[int(i)] for i in np.flatnonzero(task == TASK)]
            assert max(counts) - min(counts) <= 1


def test_what_was_drawn_gives_the_same_steps_again() -> None:
    plan, restored = decided(), steps()
    restored.restore(plan.draws)
    for number in (14, 2, 9, 2):  # in any order: a message about an earlier step reads it again
        for mine, theirs in zip(plan[number].rows, restored[number].rows, strict=True):
            assert mine.tolist() == theirs.tolist()
    restored.decide(np.array([0.2, 0.2, 0.6]))
    plan.decide(np.array([0.2, 0.2, 0.6]))
    assert members(plan, 5) == members(restored, 5)
    assert members(decided(seed=2), 1) != members(plan, 1)


def test_epochs_are_those_of_the_first_shares() -> None:
    plan = decided(interval=5)
    per_epoch = plan.steps_per_epoch
    assert plan.epochs_done(per_epoch) == 1.0
    ends = [number for number in range(1, 26) if plan[number].ends_epoch]
    assert ends[0] == per_epoch
