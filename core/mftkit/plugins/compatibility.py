"""Compares a component's methods with its interface, so that an old package gets one message before a run starts."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from types import FunctionType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mftkit.interfaces import API_VERSION
from mftkit.interfaces.component import Component, is_required
from mftkit_registry import BrokenComponentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mftkit_registry import Registration


_FOUND: WeakKeyDictionary[type[Component], dict[type[Component], tuple[str, ...]]] = WeakKeyDictionary()
"""The differences of each class from interfaces: a run asks for the classes of its components again and again."""


def check_interface(component: type[Component], registration: Registration[Component]) -> None:
    """Raise BrokenComponentError, with every difference, if a class does not fit the interface of its kind."""
    differences = interface_differences(component, registration.interface)
    if differences:
        raise BrokenComponentError(
            f'{registration.kind} "{registration.name}" of {registration.origin} does not fit the plugin interface of '
            f"mftkit {version('mftkit')} (API {API_VERSION}): {'; '.join(differences)}. {_fix(component, registration)}"
        )


def _fix(component: type[Component], registration: Registration[Component]) -> str:
    if registration.is_local:
        return f"Fix {component.__qualname__}."
    return (
        f"Update the package (pip install --upgrade {registration.distribution}), "
        f"or fix {component.__module__}.{component.__qualname__}."
    )


def interface_differences(component: type[Component], interface: type[Component]) -> tuple[str, ...]:
    """In words, each method of ``component`` that is missing, or that cannot be called as core calls it."""
    found = _FOUND.setdefault(component, {})
    if interface not in found:
        found[interface] = tuple(
            difference
            for name, value in _declared(interface).items()
            for difference in _differences(component, name, value)
        )
    return found[interface]


def _declared(interface: type[Component]) -> dict[str, object]:
    declared: dict[str, object] = {}
    for base in (Component, *reversed(interface.__mro__)):
        if issubclass(base, Component):
            declared |= {name: value for name, value in vars(base).items() if _is_public(name)}
    return declared


def _is_public(name: str) -> bool:
    return name == "__init__" or not name.startswith("_")


def _differences(component: type[Component], name: str, declared: object) -> Iterator[str]:
    found = inspect.getattr_static(component, name)
    if isinstance(declared, property) and isinstance(found, FunctionType):
        yield f"{name} is a property: put @property above it"
    if not isinstance(declared, FunctionType):
        return
    if found is declared:
        if is_required(declared):
            yield f"{name}() is missing"
        return
    bound_first = 0 if isinstance(found, staticmethod) else 1  # self, or the class
    function = found.__func__ if isinstance(found, staticmethod | classmethod) else found
    if not callable(function):
        yield f"{name} is not a method"
    elif not _accepts(function, declared, bound_first):
        own, call = _parameters(function, bound_first), _parameters(declared, 1)
        yield f"{name}({own}) is called as {name}({call})"


def _accepts(function: Callable[..., object], declared: FunctionType, bound_first: int) -> bool:
    """True if ``function`` can be called with the arguments of the method that the interface declares."""
    parameters = list(inspect.signature(declared).parameters.values())[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = {p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY}
    try:
        inspect.signature(function).bind(*[None] * (bound_first + len(positional)), **keywords)
    except TypeError:
        return False
    except ValueError:  # a callable without a signature
        return True
    return True


def _parameters(function: Callable[..., object], bound_first: int) -> str:
    return ", ".join(map(_shown, list(inspect.signature(function).parameters.values())[bound_first:]))


def _shown(parameter: inspect.Parameter) -> str:
    stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL) or "**" * (
        parameter.kind is parameter.VAR_KEYWORD
    )
    return f"{stars}{parameter.name}" + ("" if parameter.default is parameter.empty else "=...")
