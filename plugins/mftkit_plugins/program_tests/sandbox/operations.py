"""What one side may ask of an object of the other, by the name of a special method."""

from __future__ import annotations

import builtins
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY = "add sub mul truediv floordiv mod pow matmul lshift rshift and or xor"
COMPARED = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda one, other: function(other, one)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda called, *given, **named: called(*given, **named),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "isinstance": isinstance,
    "issubclass": issubclass,
    **{f"__{name}__": getattr(builtins, name) for name in "len iter next str repr hash bool int float complex abs round reversed format bytes dir".split()},
    **{f"__{name}__": getattr(operator, f"__{name}__") for name in "getitem setitem delitem contains index neg pos invert eq ne lt le gt ge".split()},
    **{f"__{name}__": getattr(operator, f"__{name}__") for name in _BINARY.split()},
    **{f"__r{name}__": _reflected(getattr(operator, f"__{name}__")) for name in _BINARY.split()},
    **{f"__i{name}__": getattr(operator, f"__i{name}__") for name in _BINARY.split()},
    "__divmod__": divmod,
    "__call__": lambda called, *given, **named: called(*given, **named),
    "__enter__": lambda held: type(held).__enter__(held),
    "__exit__": lambda held, *error: type(held).__exit__(held, *error),
}  # fmt: skip
SPECIAL = frozenset(name for name in OPERATIONS if name[0] == "_") | {"__aenter__", "__aexit__", "__anext__", "__aiter__", "__missing__", "__await__"}  # fmt: skip
