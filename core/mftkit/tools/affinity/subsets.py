"""Subsets of tasks: which are predicted, and the names under which they are shown."""

from __future__ import annotations

from itertools import combinations

import numpy as np

EXHAUSTIVE = 8
"""Tasks up to which all subsets are predicted."""
SAMPLED = 255
"""Subsets of more tasks: single tasks, pairs, all, all but one, and random ones up to this number."""
FEWEST_RANDOM = 64

Subset = tuple[int, ...]


def choose_subsets(tasks: int, seed: int) -> list[Subset]:
    """The subsets that are predicted, smaller ones first; each is in ascending order."""
    numbers = range(tasks)
    if tasks <= EXHAUSTIVE:
        return [subset for size in range(1, tasks + 1) for subset in combinations(numbers, size)]
    chosen = {subset for size in (1, 2, tasks - 1, tasks) for subset in combinations(numbers, size)}
    random = np.random.default_rng(seed)
    for _ in range(max(FEWEST_RANDOM, SAMPLED - len(chosen))):
        size = int(random.integers(3, tasks - 1))
        chosen.add(tuple(sorted(int(task) for task in random.choice(tasks, size, replace=False))))
    return sorted(chosen, key=lambda subset: (len(subset), subset))


def is_listed(subset: Subset, tasks: int) -> bool:
    """True for single tasks, pairs, all and all but one: the terminal lists these."""
    return len(subset) <= 2 or len(subset) >= tasks - 1


def subset_name(subset: Subset, tasks: tuple[str, ...]) -> str:
    """The name of a subset in tables.

    >>> subset_name((0, 2), ("a", "b", "c", "d"))
    'a + c'
    >>> subset_name((0, 2, 3), ("a", "b", "c", "d"))
    'all but b'
    """
    if len(subset) == len(tasks) > 1:
        return "all"
    if len(subset) == len(tasks) - 1 > 2:
        (missing,) = set(range(len(tasks))) - set(subset)
        return f"all but {tasks[missing]}"
    return " + ".join(tasks[task] for task in subset)
