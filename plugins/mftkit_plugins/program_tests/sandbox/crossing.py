"""Handles: how functions, classes, instances and errors leave one process and arrive in the other."""

from __future__ import annotations

import inspect
import json
import sys
import types
from typing import Any, TypeAlias

from mftkit_plugins.program_tests.sandbox import proxies
from mftkit_plugins.program_tests.sandbox.operations import SPECIAL
from mftkit_plugins.program_tests.sandbox.plain import BUILTINS, CannotCrossError

Peer: TypeAlias = Any
"""A ``peer.Peer``, which imports this module."""

_BASES = (int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
_END_OF_ITERATION = {"__next__", "__anext__"}


def leave(peer: Peer, value: Any) -> Any:
    """Return JSON for a value that is no plain data."""
    back = proxies.reference(value)
    if back is not None:
        return ["back", back]
    if isinstance(value, types.ModuleType):
        return ["mod", peer.number(value), value.__name__]
    if isinstance(value, type):
        return ["cls", peer.number(value), _described(peer, value)]
    if isinstance(value, BaseException):
        return leave_error(peer, value)
    if _is_function(value):
        name = getattr(value, "__name__", "call")
        return ["fn", peer.number(value), name, inspect.iscoroutinefunction(value), _parameters(value)]
    base = next((base for base in _BASES if isinstance(value, base)), None)
    data = None if base is None else [peer.encode(_as(base, value))]
    peer.of_objects = True
    number = peer.number(value)
    if peer.trusted and base in _CHANGING and data is not None:
        peer.mirrored[number] = value, json.dumps(data[0])
    return ["obj", number, leave(peer, type(value)), data]


_CHANGING = (list, dict, set)


def _is_function(value: Any) -> bool:
    """Whether a value is called and has no attributes of interest."""
    kinds = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)
    if isinstance(value, types.FunctionType):
        return not any(name[0] != "_" for name in value.__dict__)
    return isinstance(value, kinds) or type(value).__name__ in _CALLED


_CALLED = {"partial", "method-wrapper", "wrapper_descriptor", "method_descriptor"}


def _parameters(value: Any) -> Any:
    try:
        found = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[one.name, int(one.kind), one.default is not one.empty] for one in found]


def data_of(value: Any) -> Any:
    """Return the plain list, dictionary or set that an instance of a subclass holds."""
    return _as(next(base for base in _CHANGING if isinstance(value, base)), value)


def _as(base: type, value: Any) -> Any:
    """Return the value of the plain type, whatever its subclass says of itself."""
    if base is dict:
        return dict(dict.items(value))
    if base in {list, tuple, set, frozenset}:
        return base(base.__iter__(value))
    if base is complex:
        return complex(complex.__add__(value, 0))
    plain = {int: int.__int__, float: float.__float__, str: str.__str__, bytes: bytes.__bytes__}.get(base)
    return str.__add__("", value) if base is str else (plain or base)(value)  # type: ignore[operator]


def leave_error(peer: Peer, error: BaseException) -> Any:
    """Return JSON for an error: its class, its arguments, its text."""
    back = proxies.reference(error)
    if back is not None:
        return ["back", back]
    try:
        text, given = str(error), [peer.encode(value) for value in error.args]
    except BaseException:
        text, given = "", []
    kind = type(error)
    builtin = BUILTINS.get(kind.__name__) is kind
    named = ["bt", kind.__name__] if builtin else ["cls", peer.number(kind), _described(peer, kind)]
    return ["err", peer.number(error), named, given, text]


def _described(peer: Peer, kind: type) -> Any:
    """Describe a class the first time that it crosses."""
    number = peer.number(kind)
    if number in peer.described:
        return None
    peer.described.add(number)
    bases = [base for base in kind.__bases__ if base is not object and base.__module__ != "typing"]
    special = [
        name for name in SPECIAL if any(name in vars(base) for base in kind.__mro__ if base is not object)
    ]
    hashed = kind.__hash__ is not None
    return {
        "name": kind.__name__,
        "module": kind.__module__,
        "bases": [peer.encode(base) for base in bases],
        "special": sorted(special),
        "hashed": hashed,
        "doc": kind.__doc__ if isinstance(kind.__doc__, str) else None,
    }


def arrive(peer: Peer, given: list[Any]) -> Any:
    """Return the value or the proxy that JSON stands for."""
    tag, number = given[0], given[1]
    if tag == "back":
        return peer.objects[number]
    if number in peer.made:
        found = peer.made[number]
        if tag == "obj" and given[3] is not None:
            found = proxies.refreshed(found, peer.decode(given[3][0]))
            _mirror(peer, number, found, given[3][0])
        return found
    if tag == "fn":
        made = proxies.function(peer, number, *given[2:5])
    elif tag == "mod":
        made = proxies.module(number, given[2])
    elif tag == "cls":
        made = proxies.made_class(peer, number, given[2])
    elif tag == "obj":
        peer.of_objects = True
        kind = arrive(peer, given[2]) if given[2][0] != "bt" else object
        made = proxies.instance(kind, number, None if given[3] is None else [peer.decode(given[3][0])])
        if given[3] is not None:
            _mirror(peer, number, made, given[3][0])
    elif tag == "err":
        made = proxies.error(peer.decode(given[2]), number, [peer.decode(one) for one in given[3]], given[4])
    else:
        raise CannotCrossError(f"a value of an unknown kind: {tag}")
    peer.made[number] = made
    return made


def _mirror(peer: Peer, number: int, made: Any, data: Any) -> None:
    if not peer.trusted and isinstance(made, _CHANGING):
        peer.mirrored[number] = made, json.dumps(data)


def honoured(peer: Peer, error: BaseException, operation: str) -> BaseException:
    """Return the error to raise: one that ends or skips tests is only honoured where it cannot."""
    if peer.trusted or proxies.reference(error) is None:
        return error
    ends = isinstance(error, StopIteration | StopAsyncIteration) and operation not in _END_OF_ITERATION
    if ends or not isinstance(error, Exception | SystemExit):
        return RuntimeError(f"the program raised {type(error).__name__}: {error}")
    return error


def change(old: Any, new: Any) -> None:
    """Change a container in place to what it has become on the other side; parts keep their identity."""
    if type(old) is list:
        for place, part in enumerate(new[: len(old)]):
            new[place] = _kept(old[place], part)
        old[:] = new
    elif isinstance(old, dict):
        kept = {key: _kept(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(kept)
    elif type(old).__name__ == "ndarray":
        old[...] = new
    elif isinstance(old, set):
        old.clear()
        old.update(new)
    elif hasattr(old, "clear") and hasattr(old, "extend"):
        old.clear()
        old.extend(new)


def _kept(old: Any, new: Any) -> Any:
    if type(old) is type(new) and type(new) in {list, dict, set}:
        change(old, new)
        return old
    return new


def is_builtin_error(kind: type) -> bool:
    """Return True for an exception class of Python itself."""
    return isinstance(kind, type) and getattr(sys.modules["builtins"], kind.__name__, None) is kind
