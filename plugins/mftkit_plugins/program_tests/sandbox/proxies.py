"""Proxies of the other side's objects. Comparisons with plain data are never left to the other side."""

from __future__ import annotations

import inspect
import types
from typing import Any, TypeAlias

from mftkit_plugins.program_tests.sandbox.operations import COMPARED
from mftkit_plugins.program_tests.sandbox.plain import CannotCrossError

Peer: TypeAlias = Any
"""A ``peer.Peer``, which imports this module."""

_making = [False]
PEER: list[Any] = [None]
_SILENT = {"__class__", "__slots__", "__mft__", "__wrapped__"}


def reference(value: Any) -> int | None:
    """Return the number of the other side's object that a value stands for, or None."""
    if isinstance(value, type) and value in PEER[0].error_classes:
        return PEER[0].error_classes[value]  # type: ignore[no-any-return]
    if isinstance(value, types.FunctionType):
        return PEER[0].functions.get(value)  # type: ignore[no-any-return]
    try:
        if isinstance(value, Kind | types.ModuleType):
            return value.__dict__.get("_mft_number")
        if isinstance(type(value), Kind):
            return object.__getattribute__(value, "_mft_number")  # type: ignore[no-any-return]
        return value.__dict__.get("_mft_number") if isinstance(value, BaseException) else None
    except AttributeError:
        return None


class Kind(type):
    """Class of the proxies' classes: calls and attributes of a class are the other side's."""

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any]) -> Any:
        """Only this module makes classes of it."""
        if not _making[0]:
            raise CannotCrossError("the tests make a subclass of the program's class")
        return super().__new__(cls, name, bases, names)

    def __call__(cls, *given: Any, **named: Any) -> Any:
        """Make an instance on the other side."""
        return PEER[0].request("call", cls, *given, **named)

    def __getattr__(cls, name: str) -> Any:
        if name in _SILENT or "_mft_number" not in cls.__dict__ or name == "__abstractmethods__":
            raise AttributeError(name)
        return PEER[0].request("getattr", cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        PEER[0].request("setattr", cls, name, value)

    def __delattr__(cls, name: str) -> None:
        PEER[0].request("delattr", cls, name)

    def __iter__(cls) -> Any:
        return iter(PEER[0].request("__iter__", cls))

    def __len__(cls) -> Any:
        return PEER[0].request("__len__", cls)

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return PEER[0].request("__getitem__", cls, key)

    def __contains__(cls, key: Any) -> bool:
        return bool(PEER[0].request("__contains__", cls, key))


def _getattr(self: Any, name: str) -> Any:
    if name in _SILENT or name.startswith(("_mft", "__array", "_pytest", "__dataclass_params")):
        raise AttributeError(name)
    found = PEER[0].request("getattr", self, name)
    PEER[0].watch(self, name, found)
    return found


def _setattr(self: Any, name: str, value: Any) -> None:
    PEER[0].request("setattr", self, name, value)


def _delattr(self: Any, name: str) -> None:
    PEER[0].request("delattr", self, name)


def _forward(name: str) -> Any:
    def forward(self: Any, *given: Any, **named: Any) -> Any:
        if name == "__exit__":
            given = tuple(None if isinstance(one, types.TracebackType) else one for one in given)
        return PEER[0].request(name, self, *given, **named)

    forward.__name__ = name
    return forward


def _compare(name: str) -> Any:
    def compare(self: Any, other: Any) -> Any:
        if reference(other) is None and not PEER[0].trusted:
            return NotImplemented  # plain data: only this process compares it
        answer = PEER[0].request(name, self, other)
        if name == "__eq__" and answer and self is not other and not PEER[0].trusted:
            answer = not (_equals_anything(self) or _equals_anything(other))
        return bool(answer)

    return compare


def _equals_anything(value: Any) -> bool:
    """Whether an object says that it equals a word that nobody else has."""
    try:
        return bool(PEER[0].request("__eq__", value, PEER[0].word))
    except Exception:
        return False


def _awaited(operation: str) -> Any:
    async def awaited(self: Any, *given: Any) -> Any:
        given = tuple(None if isinstance(one, types.TracebackType) else one for one in given)
        return PEER[0].request(operation, self, *given)

    return awaited


def _await(self: Any) -> Any:
    return _awaited("await")(self).__await__()


_OTHERS = {
    "__await__": _await,
    "__anext__": _awaited("__anext__"),
    "__aenter__": _awaited("__aenter__"),
    "__aexit__": _awaited("__aexit__"),
    "__aiter__": lambda self: self,
}
_PLAIN_KEEP = {
    *COMPARED,
    *(
        "__hash__",
        "__bool__",
        "__len__",
        "__iter__",
        "__contains__",
        "__index__",
        "__getitem__",
        "__reversed__",
    ),
}
"""What a subclass of a plain type does as the plain type does it, because its data is here."""


def made_class(peer: Peer, number: int, described: dict[str, Any]) -> Any:
    """Make the class that stands for one of the other side."""
    bases = tuple(peer.decode(base) for base in described["bases"])
    if any(isinstance(base, type) and issubclass(base, BaseException) for base in bases):
        return _error_class(number, described, bases)
    plain = [base for base in bases if not isinstance(base, Kind) and base.__flags__ & (1 << 10)]
    plain = [base for base in plain if base not in {range, memoryview, slice, object}]
    derived = plain or any(_of_plain(base) for base in bases)
    names: dict[str, Any] = {
        "__module__": described["module"],
        "__doc__": described["doc"],
        "_mft_number": number,
    }
    names["__getattr__"] = _getattr
    if not derived:
        names.update({"__setattr__": _setattr, "__delattr__": _delattr})
    for name in described["special"]:
        if not (derived and name in _PLAIN_KEEP):
            names[name] = _OTHERS.get(name) or (_compare(name) if name in COMPARED else _forward(name))
    if not derived:
        names.setdefault("__repr__", _forward("__repr__"))
        names["__hash__"] = names.get("__hash__", object.__hash__) if described["hashed"] else None
    chosen = tuple(base for base in bases if isinstance(base, Kind) or base in plain)
    _making[0] = True
    try:
        return Kind(described["name"], chosen, names)
    finally:
        _making[0] = False


def _of_plain(kind: Any) -> bool:
    plain = (int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
    return isinstance(kind, type) and issubclass(kind, plain)


def _error_class(number: int, described: dict[str, Any], bases: tuple[Any, ...]) -> Any:
    chosen = tuple(base for base in bases if isinstance(base, type) and issubclass(base, BaseException))

    def text(self: Any) -> str:
        return self.__dict__.get("_mft_text", BaseException.__str__(self))  # type: ignore[no-any-return]

    def get(self: Any, name: str) -> Any:
        if name[:2] == "__" or "_mft_number" not in self.__dict__:
            raise AttributeError(name)
        return PEER[0].request("getattr", self, name)

    names = {"__module__": described["module"], "_mft_class": number, "__str__": text, "__getattr__": get}
    made = type(described["name"], chosen, names)
    PEER[0].error_classes[made] = number
    return made


def instance(kind: Any, number: int, data: list[Any] | None) -> Any:
    """Make the proxy of an instance; of a subclass of a plain type it holds the data."""
    base = next((base for base in kind.__mro__ if not isinstance(base, Kind)), object)
    made = base.__new__(kind, *data) if data is not None and base in _FIXED else base.__new__(kind)
    object.__setattr__(made, "_mft_number", number)
    return refreshed(made, data[0]) if data is not None else made


_FIXED = {int, float, complex, str, bytes, tuple, frozenset}


def refreshed(made: Any, data: Any) -> Any:
    """Give the proxy of a changed list, dictionary or set its data of now."""
    if isinstance(made, list):
        list.clear(made)
        list.extend(made, data)
    elif isinstance(made, dict):
        dict.clear(made)
        dict.update(made, data)
    elif isinstance(made, set):
        set.clear(made)
        set.update(made, data)
    return made


def _signature(parameters: list[tuple[str, int, bool]] | None) -> Any:
    """Return the signature of names, kinds and whether there is a default."""
    if parameters is None:
        return None
    nothing = inspect.Parameter.empty
    of = inspect.Parameter
    kinds = (of.POSITIONAL_ONLY, of.POSITIONAL_OR_KEYWORD, of.VAR_POSITIONAL, of.KEYWORD_ONLY, of.VAR_KEYWORD)
    made = [
        inspect.Parameter(name, kinds[kind], default=... if has else nothing)
        for name, kind, has in parameters
    ]
    return inspect.Signature(made)


def function(peer: Peer, number: int, name: str, is_async: bool, parameters: Any = None) -> Any:
    """Make the function that stands for a callable of the other side."""

    def call(*given: Any, **named: Any) -> Any:
        return peer.request("call", call, *given, **named)

    async def awaits(*given: Any, **named: Any) -> Any:
        return peer.request("await", peer.request("call", awaits, *given, **named))

    made: Any = awaits if is_async else call
    made.__name__ = made.__qualname__ = name
    made.__module__ = "solution"
    made.__signature__ = _signature(parameters)
    peer.functions[made] = number  # not an attribute: functools.wraps would copy it
    return made


class Module(types.ModuleType):
    """A module of the other side."""

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__" and name not in {"__all__", "__doc__"}:
            raise AttributeError(name)
        return PEER[0].request("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        PEER[0].request("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        PEER[0].request("delattr", self, name)

    def __dir__(self) -> Any:
        return PEER[0].request("__dir__", self)


def module(number: int, name: str) -> Any:
    """Make the module that stands for one of the other side."""
    made = Module(name)
    made.__dict__["_mft_number"] = number
    return made


def error(kind: type, number: int, given: list[Any], text: str) -> BaseException:
    """Make an error of the other side."""
    try:
        made: BaseException = kind.__new__(kind, *given)
        start = BaseException if "_mft_class" in kind.__dict__ else kind
        start.__init__(made, *given)  # type: ignore[misc]
    except Exception:
        made = RuntimeError(f"{kind.__name__}: {text}")
    made.__dict__.update({"_mft_number": number, "_mft_text": text})
    return made
