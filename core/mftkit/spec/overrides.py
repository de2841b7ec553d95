"""``--set a.b=value``: changes to a spec before it is checked."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mftkit.spec.reading import parse_json
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable


def apply_overrides(data: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of ``data`` with each ``a.b=value`` set; the value is JSON, or else a string.

    A number in the path is an index of a list; objects that are not there are made. Raises MftError
    that lists every override that cannot be followed.

    >>> apply_overrides({"tasks": [{"name": "a"}]}, ["tasks.0.weight=2", "training.scheduler=linear"])
    {'tasks': [{'name': 'a', 'weight': 2}], 'training': {'scheduler': 'linear'}}
    """
    data = copy.deepcopy(data)
    wrong = []
    for override in overrides:
        path, equals, value = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            wrong.append(f'--set {override}: should be a.b=value, as in "training.epochs=3"')
            continue
        try:
            _put(data, keys, _value(value))
        except _CannotError as error:
            wrong.append(f"--set {override}: {error}")
    if wrong:
        raise MftError("\n  ".join(wrong))
    return data


class _CannotError(Exception):
    """The path leads nowhere."""


def _value(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _put(node: Any, keys: list[str], value: Any) -> None:
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


def _place(node: Any, key: str, parents: list[str]) -> str | int:
    """The key or index in ``node``."""
    where = ".".join(parents)
    if isinstance(node, dict):
        return key
    if not isinstance(node, list):
        raise _CannotError(f"{where} is {node!r}, which has no key {key!r}")
    if not key.isdecimal() or int(key) >= len(node):
        allowed = f"0 to {len(node) - 1}" if node else "none: it is empty"
        raise _CannotError(f"{where} is a list, and {key!r} is no index of it (allowed: {allowed})")
    return int(key)
