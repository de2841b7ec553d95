"""Which tasks to train together: the partition with the lowest predicted losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from mftkit.tools.affinity.subsets import Subset

    Floats = NDArray[np.float64]

Grouping = tuple["Subset", ...]
STARTS = 32
"""Random starts of the search over partitions of many tasks."""


def partitions(tasks: int, groups: int) -> Iterator[Grouping]:
    """All ways of dividing tasks into exactly ``groups`` groups, each in ascending order.

    >>> list(partitions(3, 2))
    [((0, 1), (2,)), ((0, 2), (1,)), ((0,), (1, 2))]
    """

    def extend(labels: list[int], used: int) -> Iterator[list[int]]:
        if len(labels) == tasks:
            if used == groups:
                yield labels
            return
        for label in range(min(used + 1, groups)):
            yield from extend([*labels, label], max(used, label + 1))

    for labels in extend([], 0):
        yield _groups(labels)


def best_by_losses(tasks: int, groups: int, losses: Callable[[Subset], Floats]) -> Grouping:
    """The partition into ``groups`` with the lowest sum, over tasks, of the loss in the task's own group.

    Args:
        tasks: their number; all partitions are compared, so there must be few.
        groups: number of groups.
        losses: predicted losses [tasks] of a subset.
    """
    return min(
        partitions(tasks, groups),
        key=lambda one: sum(float(losses(group)[list(group)].sum()) for group in one),
    )


def best_by_affinity(affinity: Floats, alone: Floats, groups: int, seed: int) -> Grouping:
    """A partition of many tasks into ``groups`` by pairwise affinities, with a low sum of expected losses.

    A task's expected loss in a group is the mean of ``affinity`` [tasks, tasks] with the others of it, or its loss in
    ``alone`` [tasks] (the mean within groups that Li, Sharma and Zhang, 2024, optimize by a relaxation).
    Single tasks move to other groups as long as that lowers the sum, from ``STARTS`` random partitions.
    """
    tasks = len(alone)
    random = np.random.default_rng(seed)
    best: tuple[float, list[int]] | None = None
    for _ in range(STARTS):
        labels = random.permutation([*range(groups), *random.integers(0, groups, tasks - groups)]).tolist()
        now = _expected(labels, affinity, alone)
        improved = True
        while improved:
            improved = False
            for task in range(tasks):
                for label in range(groups):
                    moved = [*labels[:task], label, *labels[task + 1 :]]
                    value = _expected(moved, affinity, alone)
                    if len(set(moved)) == groups and value < now - 1e-12:
                        labels, now, improved = moved, value, True
        if best is None or now < best[0] - 1e-12:
            best = (now, labels)
    assert best is not None
    return _groups(best[1])


def _expected(labels: list[int], affinity: Floats, alone: Floats) -> float:
    together = np.equal.outer(labels, labels) & ~np.eye(len(labels), dtype=bool)
    others = together.sum(1)
    mean = (affinity * together).sum(1) / np.maximum(others, 1)
    return float(np.where(others > 0, mean, alone).sum())


def _groups(labels: list[int]) -> Grouping:
    """Groups in the order of their first tasks."""
    order = list(dict.fromkeys(labels))
    return tuple(tuple(task for task, one in enumerate(labels) if one == label) for label in order)
