"""Comparison of the results of queries."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit_plugins.evaluators.sql.execution import Row

RELATIVE = 1e-6
ABSOLUTE = 1e-9
_GREEDY = 1000
_PERMUTED = 7
"""Most columns whose order is tried."""


def same_rows(
    found: Sequence[Row], expected: Sequence[Row], *, ordered: bool, columns: Literal["position", "any"]
) -> bool:
    """Whether two results are equal: as lists if their order counts, else as multisets; floats are compared closely.

    ``columns="any"`` also takes columns in another order, as the test suites of Spider do (Zhong et al.,
    arXiv 2010.02840).
    """
    if not found and not expected:
        return True
    if len(found) != len(expected) or len(found[0]) != len(expected[0]):
        return False
    permuted = _permuted(found, expected, ordered) if columns == "any" else [found]
    return any(_same(each, expected, ordered) for each in permuted)


def _permuted(found: Sequence[Row], expected: Sequence[Row], ordered: bool) -> Iterator[Sequence[Row]]:
    """Yield the rows with their columns in each order in which every column alone is as expected."""
    width = len(found[0])
    ours, theirs = (
        [[(value,) for value in column] for column in zip(*rows, strict=True)] for rows in (found, expected)
    )
    fits = [[_same(column, other, ordered) for column in ours] for other in theirs]
    orders = permutations(range(width)) if width <= _PERMUTED else iter([tuple(range(width))])
    for order in orders:
        if all(fits[place][column] for place, column in enumerate(order)):
            yield [tuple(row[column] for column in order) for row in found]


def _same(found: Sequence[Row], expected: Sequence[Row], ordered: bool) -> bool:
    if ordered:
        return all(map(_close, found, expected))
    ours, theirs = Counter(found), Counter(expected)
    left, missing = list((ours - theirs).elements()), list((theirs - ours).elements())
    if all(map(_close, sorted(left, key=_key), sorted(missing, key=_key))):
        return True
    return len(left) <= _GREEDY and _matched(left, missing)


def _matched(left: list[Row], missing: list[Row]) -> bool:
    """Match rows that are close, where sorting has put them in different orders."""
    for row in left:
        place = next((n for n, other in enumerate(missing) if _close(row, other)), None)
        if place is None:
            return False
        del missing[place]
    return True


def _close(found: Row, expected: Row) -> bool:
    return all(map(_equal, found, expected))


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(found, float) or isinstance(expected, float):
        if not isinstance(found, int | float) or not isinstance(expected, int | float):
            return False
        return math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(found == expected)


def _key(row: Row) -> tuple[tuple[str, Any], ...]:
    """Order values of different types, too."""
    return tuple(
        ("number", value)
        if isinstance(value, int | float)
        else (type(value).__name__, value or type(value)())
        for value in row
        if value is not None
    )
