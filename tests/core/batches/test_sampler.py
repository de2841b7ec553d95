import heapq
import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mftkit.batches.sampler import BatchSampler, GlobalBatch, check_layout
from mftkit.data.mixing import Mixture
from mftkit.interfaces.tokenization import Layout, TokenizationMode
from mftkit_registry import MftError


class OneEach(TokenizationMode):
    """One sample a row, in the epoch's order."""

    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> Layout:
        return Layout(order, np.arange(len(order) + 1))


class Pairs(TokenizationMode):
    """Two samples a row."""

    def layout(
        self, lengths: NDArray[Any], tasks: NDArray[Any], order: NDArray[Any], max_length: int
    ) -> Layout:
        return Layout(order, np.append(np.arange(0, len(order), 2), len(order)))


class Samples(SimpleNamespace):
    def __len__(self) -> Any:
        return len(self.lengths)

    def in_epoch(self, epoch: int) -> "Samples":
        return self


def samples(count: int = 21) -> Samples:
    random = np.random.default_rng(0)
    lengths = random.integers(2, 9, count)
    return Samples(lengths=lengths, loss_tokens=lengths - 1, task=random.integers(0, 3, count))


def steps(mode: type[Any] = OneEach, count: int = 21, **changes: Any) -> BatchSampler:
    settings: dict[str, Any] = {
        "tasks": 3,
        "seed": 1,
        "batch_size": 4,
        "max_length": 32,
        "epochs": 2,
        "max_steps": None,
    }
    return BatchSampler(cast(Any, samples(count)), mode(None), **(settings | changes))


@pytest.mark.parametrize("mode", [OneEach, Pairs])
def test_each_epoch_trains_each_sample_once(mode: type[Any]) -> None:
    plan = steps(mode)
    for epoch in (0, 1):
        numbers = [n for n in range(1, plan.total + 1) if plan[n].epoch == epoch]
        trained = np.concatenate([row for n in numbers for row in plan[n].rows])
        assert sorted(trained) == list(range(21))
        assert [plan[n].ends_epoch for n in numbers] == [False] * (len(numbers) - 1) + [True]


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    plan, other = steps(), steps()
    for number in (11, 3, 7, 3):
        for mine, theirs in zip(plan[number].rows, other[number].rows, strict=True):
            assert mine.tolist() == theirs.tolist()


def test_epochs_and_seeds_differ() -> None:
    first = [row.tolist() for row in steps()[1].rows]
    assert first != [row.tolist() for row in steps()[7].rows]
    assert first != [row.tolist() for row in steps(seed=2)[1].rows]


def test_totals() -> None:
    assert steps().total == 12
    assert steps(epochs=0.5).total == 3
    assert steps(epochs=1.5).total == 9
    assert steps(max_steps=5).total == 5
    assert steps(max_steps=50)[50].epoch == 8
    assert [round(steps().epochs_done(n), 3) for n in (0, 3, 6, 12)] == [0, 0.5, 1, 2]


def test_counts_are_those_of_the_global_batch() -> None:
    plan, data = steps(Pairs), samples()
    step = plan[2]
    members = np.concatenate(step.rows)
    assert step.samples.sum() == len(members) == 8
    for task in range(3):
        of_task = members[data.task[members] == task]
        assert step.tokens[task] == data.loss_tokens[of_task].sum()


@pytest.mark.parametrize(("micro", "processes"), [(1, 1), (3, 1), (4, 1), (1, 2), (3, 2), (2, 4), (1, 5)])
def test_every_process_gets_equally_many_micro_batches_and_no_row_is_lost(micro: int, processes: int) -> None:
    step = steps(count=7)[2]  # the epoch's last, of three rows
    each = [step.micro_batches(micro, rank, processes) for rank in range(processes)]
    assert len({len(passes) for passes in each}) == 1
    assert all(len(rows) <= micro for passes in each for rows in passes)
    got = sorted(int(i) for passes in each for rows in passes for row in rows for i in row)
    assert got == sorted(int(i) for row in step.rows for i in row)


@pytest.mark.parametrize("mode", [OneEach, Pairs])
def test_mixed_epochs_hold_what_the_mixture_draws(mode: type[Any]) -> None:
    mixture = Mixture(samples().task, (5, 20, 0), seed=1)
    plan, data = steps(mode, mixture=mixture), samples()
    for epoch in (0, 1):
        numbers = [n for n in range(1, plan.total + 1) if plan[n].epoch == epoch]
        trained = np.concatenate([row for n in numbers for row in plan[n].rows])
        assert sorted(trained) == sorted(mixture.epoch(epoch))
        assert np.sum([plan[n].samples for n in numbers], axis=0).tolist() == [5, 20, 0]
        tokens = np.bincount(data.task[trained], data.loss_tokens[trained], 3)
        assert np.sum([plan[n].tokens for n in numbers], axis=0).tolist() == tokens.tolist()
    assert plan.tokens_per_epoch == data.lengths[mixture.epoch(0)].sum()
    again = steps(mode, mixture=Mixture(samples().task, (5, 20, 0), seed=1))
    last = plan.total
    assert [row.tolist() for row in again[last].rows] == [row.tolist() for row in plan[last].rows]


def test_rows_of_a_step_come_longest_first() -> None:
    lengths = [samples().lengths[row].sum() for row in steps(Pairs)[1].rows]
    assert lengths == sorted(lengths, reverse=True)


def test_a_layout_that_is_none_is_refused() -> None:
    with pytest.raises(MftError, match="must return a mftkit.Layout, but returned list"):
        check_layout(cast(Any, [[0, 1]]), np.array([3, 3]), 8, "Mine")


@pytest.mark.parametrize(
    ("order", "offsets", "says"),
    [
        ([0, 1, 1], [0, 1, 2, 3], "exactly once"),
        ([0, 1], [0, 2], "exactly once"),
        ([0, 1, 2], [0, 2, 2, 3], "rise"),
        ([0, 1, 2], [0, 1, 2], "rise"),
        ([0, 1, 2], [0, 3], "row of 9 tokens"),
    ],
)
def test_a_layout_that_is_wrong_is_refused(order: list[int], offsets: list[int], says: str) -> None:
    with pytest.raises(MftError, match=says):
        check_layout(Layout(np.array(order), np.array(offsets)), np.array([3, 3, 3]), 8, "Mine")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 5), st.integers(1, 3))
def test_micro_batches_of_tokens_are_few_and_none_is_too_large(
    lengths: list[int], size: int, processes: int
) -> None:
    lengths.sort(reverse=True)
    rows = [np.array([i]) for i in range(len(lengths))]
    nothing = np.zeros(1)
    step = GlobalBatch(1, 0, False, rows, nothing, nothing)
    most = max(lengths) * size
    each = [step.micro_batches_of_tokens(lengths, most, rank, processes) for rank in range(processes)]
    assert len({len(passes) for passes in each}) == 1
    tokens = [sum(lengths[int(row[0])] for row in rows) for passes in each for rows in passes]
    assert max(tokens) <= most
    got = sorted(int(row[0]) for passes in each for rows in passes for row in rows)
    assert got == list(range(len(lengths)))
    assert len(each[0]) <= len(step.micro_batches(size, 0, processes))
    assert len(each[0]) >= math.ceil(sum(lengths) / (most * processes))
    at_once = [
        [sum(lengths[int(row[0])] for row in passes[i]) for passes in each] for i in range(len(each[0]))
    ]
    assert [max(pair) for pair in at_once] == sorted((max(pair) for pair in at_once), reverse=True)


def test_rows_above_half_a_micro_batch_are_placed_at_the_first_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of attempts with one micro-batch more each would take seconds per step."""
    placed = []
    place = heapq.heapreplace

    def counted(bins: list[tuple[int, int]], item: tuple[int, int]) -> tuple[int, int]:
        placed.append(item)
        return place(bins, item)

    monkeypatch.setattr(heapq, "heapreplace", counted)
    lengths = [51] * 300
    step = GlobalBatch(1, 0, False, [np.array([i]) for i in range(300)], np.zeros(1), np.zeros(1))
    assert len(step.micro_batches_of_tokens(lengths, 100, 0, 2)) == 150
    assert len(placed) == 300
