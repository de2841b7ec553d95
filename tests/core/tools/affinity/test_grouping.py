"""Subsets and groupings: all of them for few tasks, a search for many."""

import numpy as np
import pytest

from mftkit.tools.affinity.grouping import best_by_affinity, best_by_losses, partitions
from mftkit.tools.affinity.prediction import mean_affinity
from mftkit.tools.affinity.subsets import choose_subsets, subset_name


@pytest.mark.parametrize(
    ("tasks", "groups", "count"), [(4, 1, 1), (4, 2, 7), (5, 3, 25), (6, 2, 31), (3, 3, 1)]
)
def test_partitions_are_counted_by_stirling_numbers(tasks: int, groups: int, count: int) -> None:
    found = list(partitions(tasks, groups))
    assert len(set(found)) == len(found) == count
    assert all(sorted(task for group in one for task in group) == [*range(tasks)] for one in found)


def test_subsets_of_few_tasks_are_all_and_of_many_a_sample() -> None:
    assert len(choose_subsets(5, 0)) == len(set(choose_subsets(5, 0))) == 31
    many = choose_subsets(12, 0)
    assert len(set(many)) == len(many) <= 255
    sizes = np.bincount([len(subset) for subset in many])
    assert (sizes[1], sizes[2], sizes[11], sizes[12]) == (12, 66, 12, 1)
    assert sizes[3:11].sum() > 100
    assert many == choose_subsets(12, 0) != choose_subsets(12, 1)
    assert subset_name((0, 1, 2), ("a", "b", "c")) == "all"
    assert subset_name((1, 2), ("a", "b", "c")) == "b + c"


def block_losses(subset: tuple[int, ...]) -> np.ndarray:
    """Tasks of equal parity help each other by 0.1, others harm by 0.05."""
    numbers = np.arange(6)
    return np.array(
        [1 + sum((-0.1 if (t - o) % 2 == 0 else 0.05) for o in subset if o != t) for t in numbers]
    )


def test_the_best_grouping_is_the_planted_one() -> None:
    assert best_by_losses(6, 2, block_losses) == ((0, 2, 4), (1, 3, 5))
    assert best_by_losses(6, 1, block_losses) == ((0, 1, 2, 3, 4, 5),)


def test_the_search_by_affinity_finds_the_planted_one() -> None:
    subsets = choose_subsets(6, 0)
    losses = np.array([block_losses(subset) for subset in subsets])
    affinity = mean_affinity(subsets, losses)
    holding = [row for row, subset in enumerate(subsets) if {1, 4} <= set(subset)]
    assert affinity[1, 4] == pytest.approx(losses[holding, 1].mean())
    assert best_by_affinity(affinity, np.ones(6), 2, 0) == ((0, 2, 4), (1, 3, 5))
    apart = best_by_affinity(np.full((3, 3), 2.0), np.ones(3), 3, 0)
    assert apart == ((0,), (1,), (2,))
