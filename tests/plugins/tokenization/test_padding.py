from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit_plugins.tokenization.padding import DynamicPadding, Padding

LENGTHS = np.random.default_rng(0).integers(1, 500, 10_000)
ORDER = np.random.default_rng(1).permutation(len(LENGTHS))


def dynamic(**options: Any) -> Any:
    return DynamicPadding(DynamicPadding.Options(**options))


def layout(
    mode: DynamicPadding | Padding, lengths: NDArray[Any] = LENGTHS, order: NDArray[Any] = ORDER
) -> NDArray[Any]:
    found = mode.layout(lengths, np.zeros_like(lengths), order, 512)
    assert found.offsets.tolist() == list(range(len(lengths) + 1))
    return found.samples


def micro_batch() -> MicroBatch:
    def sample(n: int) -> Sample:
        return Sample(n, 0, np.arange(n, dtype=np.int32), np.ones(n, np.bool_))

    return MicroBatch(((sample(3),), (sample(5),)), 8, 0)


def test_rows_come_in_the_epochs_order() -> None:
    assert layout(Padding(Padding.Options())).tolist() == ORDER.tolist()
    assert layout(dynamic()).tolist() == ORDER.tolist()


def test_rows_are_as_long_as_the_mode_says() -> None:
    assert Padding(Padding.Options()).collate(micro_batch()).input_ids.shape == (2, 8)
    assert dynamic().collate(micro_batch()).input_ids.shape == (2, 5)


@given(st.integers(1, 7), st.lists(st.integers(1, 9), max_size=40), st.randoms())
def test_grouping_uses_each_sample_once(size: int, lengths: list[int], random: Any) -> None:
    order = list(range(len(lengths)))
    random.shuffle(order)
    found = layout(dynamic(group_by_length=size), np.array(lengths, np.int64), np.array(order, np.int64))
    assert sorted(found.tolist()) == list(range(len(lengths)))


def padded(lengths: NDArray[Any], size: int) -> Any:
    rows = lengths[: len(lengths) // size * size].reshape(-1, size)
    return rows.max(1).sum() * size / rows.sum() - 1


def test_groups_pad_far_less_and_their_order_stays_random() -> None:
    plain, grouped = layout(dynamic()), layout(dynamic(group_by_length=16))
    assert padded(LENGTHS[grouped], 16) < 0.1 * padded(LENGTHS[plain], 16)
    run_means = LENGTHS[grouped][: 16 * 600].reshape(-1, 16).mean(1)
    assert abs(np.corrcoef(run_means[:-1], run_means[1:])[0, 1]) < 0.15
    assert abs(np.corrcoef(run_means, np.arange(600))[0, 1]) < 0.15


def test_another_order_gives_other_groups() -> None:
    first, second = (
        {frozenset(run) for run in layout(dynamic(group_by_length=8), order=order).reshape(-1, 8).tolist()}
        for order in (ORDER, np.random.default_rng(2).permutation(len(LENGTHS)))
    )
    assert len(first & second) < 0.05 * len(first)


def test_a_negative_group_is_refused() -> None:
    with pytest.raises(ValidationError, match="group_by_length"):
        dynamic(group_by_length=-1)
