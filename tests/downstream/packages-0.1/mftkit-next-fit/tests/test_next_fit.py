import numpy as np
import pytest
from mft_nextfit.mode import NextFit


def rows(lengths, order, max_length):
    lengths, order = np.array(lengths, dtype=np.int64), np.array(order, dtype=np.int64)
    layout = NextFit(NextFit.Options()).layout(lengths, np.zeros_like(lengths), order, max_length)
    return [layout.samples[a:b].tolist() for a, b in zip(layout.offsets, layout.offsets[1:], strict=False)]


def test_a_row_ends_where_the_next_sample_does_not_fit():
    assert rows([3, 5, 2, 8, 1], order=[0, 1, 2, 3, 4], max_length=8) == [[0, 1], [2], [3], [4]]


def test_the_order_given_is_kept():
    assert rows([3, 5, 2, 8, 1], order=[4, 2, 1, 3, 0], max_length=8) == [[4, 2, 1], [3], [0]]


@pytest.mark.parametrize("lengths", [[], [4], [1] * 100])
def test_every_sample_has_a_place(lengths):
    made = rows(lengths, order=range(len(lengths)), max_length=7)
    assert [sample for row in made for sample in row] == list(range(len(lengths)))
    assert all(sum(lengths[sample] for sample in row) <= 7 for row in made)
