"""The differences between two JSON values."""

from __future__ import annotations


def differing_paths(one: object, other: object, path: str = "") -> set[str]:
    """Key paths at which two JSON values differ.

    >>> sorted(differing_paths({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 2], "d": 0}))
    ['a.b', 'd']
    """
    if isinstance(one, dict) and isinstance(other, dict):
        missing = object()
        return set().union(
            *(
                differing_paths(
                    one.get(key, missing), other.get(key, missing), f"{path}.{key}" if path else key
                )
                for key in one.keys() | other.keys()
            )
        )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        return set().union(*(differing_paths(a, b, f"{path}.{i}") for i, (a, b) in enumerate(pairs)))
    return set() if one == other else {path}
