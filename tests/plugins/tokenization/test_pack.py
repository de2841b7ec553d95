from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import mftkit
from mftkit_plugins.tokenization.pack import Pack, best_fit


def mode(**options: Any) -> Pack:
    return Pack(Pack.Options(**options))


@st.composite
def sets(draw: st.DrawFn) -> Any:
    """(lengths, tasks, order, max_length)"""
    window = draw(st.integers(1, 40))
    lengths = draw(st.lists(st.integers(1, window), max_size=60))
    tasks = draw(st.lists(st.integers(0, 3), min_size=len(lengths), max_size=len(lengths)))
    order = draw(st.permutations(range(len(lengths))))
    return (*(np.array(each, np.int64) for each in (lengths, tasks, order)), window)


def rows_of(layout: mftkit.Layout) -> list[NDArray[Any]]:
    return np.split(layout.samples, layout.offsets[1:-1]) if len(layout.samples) else []


@given(sets(), st.sampled_from(["mixed", "task"]))
def test_every_sample_once_and_no_row_too_long(
    data: tuple[NDArray[Any], NDArray[Any], NDArray[Any], int], scope: str
) -> None:
    lengths, tasks, order, window = data
    layout = mode(scope=scope).layout(lengths, tasks, order, window)
    assert sorted(layout.samples.tolist()) == list(range(len(lengths)))
    assert layout.offsets[0] == 0
    assert layout.offsets[-1] == len(lengths)
    assert (np.diff(layout.offsets) > 0).all()
    for row in rows_of(layout):
        assert lengths[row].sum() <= window
        if scope == "task":
            assert len(set(tasks[row].tolist())) == 1


@given(sets())
def test_the_layout_is_a_function_of_the_order_alone(
    data: tuple[NDArray[Any], NDArray[Any], NDArray[Any], int],
) -> None:
    first, again = (mode().layout(*data) for _ in range(2))
    assert first.samples.tolist() == again.samples.tolist()
    assert first.offsets.tolist() == again.offsets.tolist()


@given(sets())
def test_numbering_the_samples_otherwise_changes_nothing(
    data: tuple[NDArray[Any], NDArray[Any], NDArray[Any], int],
) -> None:
    """Only ``order`` decides, among equal lengths too: a sample's index must not."""
    lengths, tasks, order, window = data
    new = np.random.default_rng(0).permutation(len(lengths))  # sample i is now called new[i]
    renamed = np.empty_like(lengths), np.empty_like(tasks)
    renamed[0][new], renamed[1][new] = lengths, tasks
    layout = mode().layout(lengths, tasks, order, window)
    other = mode().layout(*renamed, new[order], window)
    assert new[layout.samples].tolist() == other.samples.tolist()
    assert layout.offsets.tolist() == other.offsets.tolist()


@given(sets())
def test_rows_are_best_fit_decreasing(data: tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]) -> None:
    """Against the textbook's algorithm, one item at a time."""
    lengths, _, _, window = data
    rooms: list[int] = []
    for length in sorted(lengths.tolist(), reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
            rooms.append(min(fitting) - length)
        else:
            rooms.append(window - length)
    row_of, opener = best_fit(lengths, window)
    assert len(opener) == len(rooms)
    filled: Any = np.bincount(row_of, weights=lengths, minlength=len(rooms)) if len(lengths) else []
    assert sorted(window - int(each) for each in filled) == sorted(rooms)


def lengths_of_real_text(n: int, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return np.clip(rng.lognormal(np.log(260) - 0.47, 1.0, n), 8, 2048).astype(np.int64)


def test_two_hundred_thousand_samples_fill_their_rows() -> None:
    lengths = lengths_of_real_text(200_000)
    layout = mode().layout(lengths, lengths % 6, np.random.default_rng(1).permutation(len(lengths)), 2048)
    assert (len(layout.offsets) - 1) * 2048 <= lengths.sum() * 1.005


def test_each_epoch_packs_anew() -> None:
    lengths = lengths_of_real_text(2_000)
    orders = [np.random.default_rng(seed).permutation(len(lengths)) for seed in (1, 2)]
    together = [
        {frozenset(row.tolist()) for row in rows_of(mode().layout(lengths, lengths, o, 2048))} for o in orders
    ]
    assert len(together[0] & together[1]) < 0.5 * len(together[0])


def test_rows_of_many_samples_come_no_sooner() -> None:
    lengths = lengths_of_real_text(20_000)
    place_by_size: list[list[float]] = [[], []]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(lengths))
        sizes = np.diff(mode().layout(lengths, lengths, order, 2048).offsets)
        places = np.arange(len(sizes)) / len(sizes)
        for many in (0, 1):
            place_by_size[many].extend(places[(sizes > np.median(sizes)) == bool(many)])
    of_few, of_many = (float(np.mean(places)) for places in place_by_size)
    assert of_few == pytest.approx(0.5, abs=0.02)
    assert of_many == pytest.approx(0.5, abs=0.02)


def test_within_a_row_the_order_is_random_and_not_by_length() -> None:
    lengths = lengths_of_real_text(20_000)
    order = np.random.default_rng(3).permutation(len(lengths))
    rows = [lengths[row] for row in rows_of(mode().layout(lengths, lengths, order, 2048))]
    falling = np.mean([row[0] > row[-1] for row in rows])
    rising = np.mean([row[0] < row[-1] for row in rows])
    assert falling == pytest.approx(rising, abs=0.05)


def test_rows_opened_by_short_samples_come_no_later() -> None:
    lengths = lengths_of_real_text(20_000)
    correlations = []
    for seed in range(5):
        layout = mode().layout(lengths, lengths, np.random.default_rng(seed).permutation(len(lengths)), 2048)
        longest = [lengths[row].max() for row in rows_of(layout)]
        correlations.append(np.corrcoef(longest, np.arange(len(longest)))[0, 1])
    assert np.mean(correlations) == pytest.approx(0, abs=0.03)


def test_lengths_that_fit_no_row_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.\.4"):
        mode().layout(np.array([5]), np.array([0]), np.array([0]), 4)
