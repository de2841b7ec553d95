"""Plain data as JSON and back, by exact type. Everything else is passed to ``other``, which makes a handle of it."""

from __future__ import annotations

import builtins
from collections import Counter, OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 200
_SCALARS = (type(None), bool, float, str)
_LISTS: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "fs"}
_DICTS: dict[type, str] = {dict: "d", OrderedDict: "od", Counter: "ct"}
_MAKE: dict[str, Callable[[Any], Any]] = {"l": list, "t": tuple, "s": set, "fs": frozenset}
_MAKE_DICT: dict[str, Callable[[Any], Any]] = {
    "d": dict,
    "od": OrderedDict,
    "ct": lambda pairs: Counter(dict(pairs)),
}
_FUNCTIONS = {
    *(
        "abs",
        "all",
        "any",
        "bin",
        "callable",
        "chr",
        "divmod",
        "hash",
        "hex",
        "id",
        "len",
        "max",
        "min",
        "ord",
    ),
    *("pow", "repr", "round", "sorted", "sum"),
}
BUILTINS = {
    name: value
    for name, value in vars(builtins).items()
    if name[0] != "_" and (isinstance(value, type) or name in _FUNCTIONS)
}
"""Types and functions of Python that cross by name."""
_NAMES = {id(value): name for name, value in BUILTINS.items()}


class CannotCrossError(BaseException):
    """A value cannot be sent to the other process, so the tests cannot be run."""


def encode(value: Any, other: Callable[[Any], Any], depth: int = 0) -> Any:  # noqa: C901 - one case per kind
    """Return a value as JSON."""
    kind = type(value)
    if kind in _SCALARS or (kind is int and -(1 << 63) < value < 1 << 63):
        return value
    if depth > DEEPEST:
        raise CannotCrossError("a value that contains itself, or is nested very deeply")

    def inside(part: Any) -> Any:
        return encode(part, other, depth + 1)

    if kind in _LISTS:
        return [_LISTS[kind], [inside(part) for part in value]]
    if kind in _DICTS:
        return [_DICTS[kind], [[inside(key), inside(part)] for key, part in value.items()]]
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple(value)
    if kind is deque:
        return ["dq", [inside(part) for part in value], value.maxlen]
    if kind is defaultdict:
        return [
            "dd",
            [[inside(key), inside(part)] for key, part in value.items()],
            inside(value.default_factory),
        ]
    if kind is slice:
        return ["sl", [inside(part) for part in (value.start, value.stop, value.step)]]
    if id(value) in _NAMES and BUILTINS[_NAMES[id(value)]] is value:
        return ["bt", _NAMES[id(value)]]
    return _by_module(value, kind) or other(value)


_SIMPLE: dict[type, Callable[[Any], Any]] = {
    int: lambda value: ["i", hex(value)],
    bytes: lambda value: ["b", value.hex()],
    bytearray: lambda value: ["ba", value.hex()],
    complex: lambda value: ["c", value.real, value.imag],
    range: lambda value: ["r", hex(value.start), hex(value.stop), hex(value.step)],
    type(...): lambda _value: ["e"],
    type(NotImplemented): lambda _value: ["ni"],
}


def _by_module(value: Any, kind: type) -> Any:
    module = kind.__module__
    name = kind.__name__
    if module in {"decimal", "_pydecimal"} and name == "Decimal":
        return ["D", str(value)]
    if module == "fractions" and name == "Fraction":
        return ["F", hex(value.numerator), hex(value.denominator)]
    if module == "uuid" and name == "UUID":
        return ["U", value.hex]
    if module == "datetime" and name in {"date", "datetime", "time", "timedelta"}:
        if name == "timedelta":
            return ["td", value.days, value.seconds, value.microseconds]
        offset = getattr(value, "tzinfo", None)
        if offset is None or type(offset).__name__ == "timezone":
            return ["dt", name, value.isoformat()]
    if module.startswith("pathlib") and name in {"PosixPath", "PurePosixPath"}:
        return ["P", name, str(value)]
    if module.startswith("numpy") and hasattr(value, "dtype") and value.dtype.kind in "biufcUSmM":
        return ["np", name == "ndarray", value.dtype.str, list(value.shape), value.tobytes().hex()]
    return None


def decode(given: Any, other: Callable[[list[Any]], Any]) -> Any:
    """Return the value of JSON that ``encode`` has made, or the other side pretends so."""
    if not isinstance(given, list):
        return given
    tag = given[0]
    if tag in _MAKE:
        return _MAKE[tag](decode(part, other) for part in given[1])
    if tag in _MAKE_DICT:
        return _MAKE_DICT[tag]((decode(key, other), decode(part, other)) for key, part in given[1])
    simple = _DECODED.get(tag)
    if simple is not None:
        return simple(*given[1:])
    if tag == "dq":
        return deque((decode(part, other) for part in given[1]), given[2])
    if tag == "dd":
        pairs = ((decode(key, other), decode(part, other)) for key, part in given[1])
        return defaultdict(decode(given[2], other), pairs)
    if tag == "sl":
        return slice(*(decode(part, other) for part in given[1]))
    return other(given)


def _numpy(array: bool, dtype: str, shape: list[int], data: str) -> Any:
    import numpy

    if numpy.dtype(dtype).kind not in "biufcUSmM":
        raise ValueError("not plain data")
    found = numpy.frombuffer(bytes.fromhex(data), dtype).reshape(shape).copy()
    return found if array else found[()]


def _dated(name: str, text: str) -> Any:
    import datetime

    kinds: dict[str, Any] = {"date": datetime.date, "datetime": datetime.datetime, "time": datetime.time}
    return kinds[name].fromisoformat(text)


def _from(module: str, name: str) -> Callable[..., Any]:
    return lambda *given: getattr(__import__(module), name)(*given)


_DECODED: dict[str, Callable[..., Any]] = {
    "i": lambda text: int(text, 16),
    "b": bytes.fromhex,
    "ba": bytearray.fromhex,
    "c": complex,
    "r": lambda *ends: range(*(int(end, 16) for end in ends)),
    "e": lambda: ...,
    "ni": lambda: NotImplemented,
    "D": _from("decimal", "Decimal"),
    "F": lambda *parts: _from("fractions", "Fraction")(*(int(part, 16) for part in parts)),
    "U": _from("uuid", "UUID"),
    "td": _from("datetime", "timedelta"),
    "dt": _dated,
    "P": lambda name, text: getattr(__import__("pathlib"), name)(text),
    "np": _numpy,
    "bt": lambda name: BUILTINS[name],
}
