"""The bounds of an option in words, as its type's annotations state them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from annotated_types import GroupedMetadata
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NUMBERS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "multiple_of": "a multiple of {}",
    "max_digits": "at most {} digits",
    "decimal_places": "at most {} decimal places",
}
LENGTHS = {"min_length": "at least", "max_length": "at most"}
UNITS = {str: ("character", "characters"), dict: ("key", "keys")}


def bounds(metadata: Iterable[object], annotation: Any = None) -> list[str]:
    """Each bound of a type in words.

    Args:
        metadata: what stands beside the type in ``Annotated``.
        annotation: the type, which decides what a length counts.

    >>> from pydantic import Field
    >>> bounds([Field(gt=0, le=1)], float), bounds([Field(min_length=1)], str)
    (['above 0', 'at most 1'], ['at least 1 character'])
    """
    found: list[str] = []
    for single in _single(metadata):
        found += _of(single, annotation)
    return list(dict.fromkeys(found))


def _single(metadata: Iterable[object]) -> Iterator[object]:
    """Each annotation by itself: a field's and a group's are several."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _single(item.metadata)
        elif isinstance(item, GroupedMetadata):
            yield from _single(item)
        else:
            yield item


def _of(item: object, annotation: Any) -> Iterator[str]:
    for attribute, words in NUMBERS.items():
        value = getattr(item, attribute, None)
        if value is not None:
            yield words.format(f"{value:g}" if isinstance(value, float) else value)
    for attribute, words in LENGTHS.items():
        length = getattr(item, attribute, None)
        if length:  # a length of at least 0 is no bound
            one, several = _unit(annotation)
            yield f"{words} {length} {one if length == 1 else several}"
    pattern = getattr(item, "pattern", None)
    if pattern is not None:
        yield f"matching {getattr(pattern, 'pattern', pattern)}"


def _unit(annotation: Any) -> tuple[str, str]:
    """What the length of a value counts, in singular and plural."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _unit(get_args(annotation)[0])
    kinds = [origin or annotation, *(get_origin(part) or part for part in get_args(annotation))]
    if origin in (list, tuple, set, frozenset, dict):
        kinds = kinds[:1]
    return next((UNITS[kind] for kind in kinds if kind in UNITS), ("item", "items"))
