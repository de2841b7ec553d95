"""What one side may ask of an object of the other, by the name of a special method."""

from __future__ import annotations

import builtins
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
)
_UNARY = ("index", "neg", "pos", "invert")
_ITEMS = ("getitem", "setitem", "delitem", "contains")
_TYPES = ("len", "iter", "next", "str", "repr", "hash", "bool", "int", "float", "complex", "bytes")
_FUNCTIONS = ("abs", "round", "reversed", "format", "dir")
COMPARED = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda one, other: function(other, one)


def _operator(name: str) -> Callable[..., Any]:
    return getattr(operator, f"__{name}__")  # type: ignore[no-any-return]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda called, *given, **named: called(*given, **named),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "isinstance": isinstance,
    "issubclass": issubclass,
    **{f"__{name}__": getattr(builtins, name) for name in (*_TYPES, *_FUNCTIONS)},
    **{f"__{name}__": _operator(name) for name in (*_ITEMS, *_UNARY, *_BINARY)},
    **{f"__r{name}__": _reflected(_operator(name)) for name in _BINARY},
    **{f"__i{name}__": _operator(f"i{name}") for name in _BINARY},
    **{name: getattr(operator, name) for name in COMPARED},
    "__divmod__": divmod,
    "__call__": lambda called, *given, **named: called(*given, **named),
    "__enter__": lambda held: type(held).__enter__(held),
    "__exit__": lambda held, *error: type(held).__exit__(held, *error),
}
_ASYNCHRONOUS = {"__aenter__", "__aexit__", "__anext__", "__aiter__", "__await__"}
SPECIAL = frozenset(name for name in OPERATIONS if name[0] == "_") | _ASYNCHRONOUS
