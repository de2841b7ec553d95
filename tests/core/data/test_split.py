import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mftkit.data.split import held_out, held_out_groups


def digests(*values: int) -> Any:
    return np.array(values, dtype=np.uint64)


FRACTIONS = st.floats(min_value=0, max_value=0.99)
SOME = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=60)


@settings(deadline=None)
@given(SOME, FRACTIONS, st.randoms())
def test_the_order_of_rows_does_not_matter(values: list[int], fraction: float, random: Any) -> None:
    shuffled = random.sample(values, len(values))
    one, two = digests(*values), digests(*shuffled)
    assert sorted(one[held_out(one, fraction)]) == sorted(two[held_out(two, fraction)])


@settings(deadline=None)
@given(SOME, FRACTIONS)
def test_equal_rows_are_on_one_side_and_something_is_left_to_train_on(
    values: list[int], fraction: float
) -> None:
    rows = digests(*values)
    chosen = held_out(rows, fraction)
    assert not set(rows[chosen].tolist()) & set(rows[~chosen].tolist())
    assert not len(rows) or (~chosen).any()


@pytest.mark.parametrize(
    ("n", "fraction", "wanted"),
    [
        (0, 0.5, 0),
        (1, 0.9, 0),
        (2, 0.01, 1),
        (10, 0.05, 1),
        (10, 0.25, 2),
        (30, 0.05, 2),
        (50, 0.05, 2),
        (100, 0.0, 0),
    ],
)
def test_the_number_is_the_rounded_share(n: int, fraction: float, wanted: int) -> None:
    rows = digests(*(int.from_bytes(hashlib.sha256(bytes([i])).digest()[:8], "big") for i in range(n)))
    chosen = held_out(rows, fraction)
    assert chosen.sum() == wanted
    assert wanted == 0 or rows[chosen].max() < rows[~chosen].min()


def test_a_run_of_equal_rows_is_taken_whole_or_not_at_all() -> None:
    assert held_out(digests(1, 1, 1, 2, 3, 4), 0.2).tolist() == [True] * 3 + [False] * 3
    assert held_out(digests(1, 2, 2, 2), 0.5).tolist() == [True, False, False, False]
    assert held_out(digests(5, 5, 5), 0.5).tolist() == [False] * 3


def test_groups_are_on_the_same_side_in_every_task() -> None:
    groups = np.array(
        [int.from_bytes(hashlib.sha256(bytes([i])).digest()[:8], "big") for i in range(200)], dtype=np.uint64
    )
    whole = dict(zip(groups.tolist(), held_out_groups(groups, 0.2).tolist(), strict=True))
    some = groups[::3]
    assert dict(zip(some.tolist(), held_out_groups(some, 0.2).tolist(), strict=True)) == {
        g: whole[g] for g in some.tolist()
    }
    assert 20 < sum(whole.values()) < 60


def test_one_group_at_least_is_held_out_and_one_left() -> None:
    assert held_out_groups(digests(2**63, 2**63 + 1), 0.01).tolist() == [True, False]
    assert held_out_groups(digests(1, 2), 0.5).tolist() == [True, False]
    assert held_out_groups(digests(1, 1), 0.5).tolist() == [False, False]
    assert held_out_groups(digests(1, 2), 0.0).tolist() == [False, False]
