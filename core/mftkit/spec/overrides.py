"""``--set a.b=value``: changes a spec before it is validated."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mftkit.spec.json_text import parse_json
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit.base.json_types import JsonObject
    from mftkit.spec.positions import Location


def apply_overrides(data: JsonObject, overrides: Iterable[str]) -> JsonObject:
    """Return a copy of ``data`` with each ``a.b=value`` set; the value is parsed as JSON if possible, else a string.

    A number in the path is an index of a list; missing objects are created. Raises MftError that lists every
    override that cannot be applied.

    >>> apply_overrides({"tasks": [{"name": "a"}]}, ["tasks.0.weight=2", "training.scheduler=linear"])
    {'tasks': [{'name': 'a', 'weight': 2}], 'training': {'scheduler': 'linear'}}
    """
    data = copy.deepcopy(data)
    errors = []
    for override in overrides:
        path, equals, value = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            errors.append(f'--set {override}: expected KEY.KEY=VALUE, for example "training.epochs=3"')
            continue
        try:
            _put(data, keys, _value(value))
        except _CannotError as error:
            errors.append(f"--set {override}: {error}")
    if errors:
        raise MftError("\n  ".join(errors))
    return data


def overridden(overrides: Iterable[str]) -> tuple[Location, ...]:
    """Return what ``apply_overrides`` has changed.

    >>> overridden(["tasks.0.weight=2"])
    (('tasks', 0, 'weight'),)
    """
    keys = (override.partition("=")[0].strip().split(".") for override in overrides)
    return tuple(tuple(int(key) if key.isdecimal() else key for key in path) for path in keys)


class _CannotError(Exception):
    """The path does not exist in the spec."""


def _value(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _put(data: JsonObject, keys: list[str], value: object) -> None:
    node: Any = data
    for depth, key in enumerate(keys[:-1]):
        place = _place(node, key, keys[:depth])
        child = node.get(place) if isinstance(node, dict) else node[place]
        if child is None:
            child = {}
        elif isinstance(child, str) and keys[depth + 1] == "options":  # a component's bare name
            child = {"name": child}
        node[place] = child
        node = child
    node[_place(node, keys[-1], keys[:-1])] = value


def _place(node: object, key: str, parents: list[str]) -> str | int:
    """Return the key or index in ``node``."""
    where = ".".join(parents)
    if isinstance(node, dict):
        return key
    if not isinstance(node, list):
        raise _CannotError(f"{where} is {node!r}, which has no key {key!r}")
    if not key.isdecimal() or int(key) >= len(node):
        allowed = f"allowed: 0 to {len(node) - 1}" if node else "the list is empty"
        raise _CannotError(f"{where} is a list, and {key!r} is not an index of it ({allowed})")
    return int(key)
