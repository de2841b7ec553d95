"""The differences between two JSON values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """A place at which two JSON values differ."""

    place: tuple[str, ...]
    """Keys and indices; of lists of different lengths, the list's."""
    one: object
    """None if it is missing, too."""
    other: object

    @property
    def path(self) -> str:
        """The place as ``--set`` takes it."""
        return ".".join(self.place)


def differences(one: object, other: object, place: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Yield the places at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from differences(one.get(key, _MISSING), other.get(key, _MISSING), (*place, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, (*place, str(index)))
    elif one != other:
        yield Difference(place, *(None if value is _MISSING else value for value in (one, other)))


def differing_paths(one: object, other: object) -> set[str]:
    """Key paths at which two JSON values differ.

    >>> sorted(differing_paths({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 2], "d": 0}))
    ['a.b', 'd']
    """
    return {difference.path for difference in differences(one, other)}
