"""Loads plugins that are in no package, with the checks of installed ones: files, directories, modules and classes."""

from __future__ import annotations

import inspect
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from mftkit.interfaces.component import Component
from mftkit.plugins import installed, kinds
from mftkit_registry import LocalPlugin, MftError, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit_registry import Register

PYTHON = "python:"
"""Begins the name of a plugin that was given in Python and has no file."""
_given: dict[str, LocalPlugin] = {}
"""Those given in this process, by name: a spec that names one is read again in the same process."""


@dataclass(frozen=True)
class LoadedPlugins:
    """The local plugins of a spec, and what is wrong with them."""

    plugins: tuple[LocalPlugin, ...]
    """Those that a registry can be made with, broken ones included: their errors are in ``problems``."""
    problems: tuple[tuple[int, str], ...]
    """Index in the spec's list, and what is wrong."""
    missing: tuple[str, ...] = ()
    """What is wrong with those that are not among ``plugins``."""


def load_plugins(given: Iterable[object], directory: Path, in_python: Iterable[object] = ()) -> LoadedPlugins:
    """Load local plugins, without raising what is wrong with them.

    Args:
        given: paths as text or ``Path``, relative to ``directory``; modules; subclasses of ``mftkit.Loss`` and of the
            other interfaces, which are named by their attribute ``name``, or after the class ("TokenSquare" is
            "token-square"); functions marked with ``@mftkit.hookimpl``; objects that have such functions; and what
            this function returned before.
        directory: where relative paths begin.
        in_python: more of them; one that is among ``given`` by name is not loaded twice.
    """
    listed = list(given)
    more: list[tuple[int, LocalPlugin]] = []
    found: list[LocalPlugin] = []
    problems: list[tuple[int, str]] = []
    places: list[int] = []
    for index, each in enumerate(in_python, start=len(listed)):
        try:
            more.append((index, _plugin(each, directory)))
        except MftError as error:
            problems.append((index, str(error)))
    for index, each in enumerate(listed):
        try:
            plugin = _plugin(each, directory)
        except MftError as error:
            problems.append((index, str(error)))
            continue
        if any(plugin.name == other.name for other in found):
            problems.append((index, f"{plugin.name} is named twice"))
            continue
        found.append(plugin)
        places.append(index)
    for index, plugin in more:
        if all(plugin.name != other.name for other in found):
            found.append(plugin)
            places.append(index)
    missing = tuple(what for _, what in problems)
    registry = installed.registry_of(tuple(found))
    for index, plugin in zip(places, found, strict=True):
        problems += [(index, error) for error in registry.local_errors(plugin.name)]
    return LoadedPlugins(tuple(found), tuple(sorted(problems)), missing)


def _plugin(given: object, directory: Path) -> LocalPlugin:
    if isinstance(given, LocalPlugin):
        return given
    if isinstance(given, str) and given.startswith(PYTHON):
        if given not in _given:
            raise MftError(
                f"{given} was given in Python: pass it again, as in mftkit.run(..., plugins=[...])"
            )
        return _given[given]
    if isinstance(given, str | Path):
        return LocalPlugin.of_file(_absolute(given, directory))
    plugin = _of_object(given)
    if not plugin.is_file:
        _given[plugin.name] = plugin
    return plugin


def _absolute(given: str | Path, directory: Path) -> Path:
    if not str(given).strip() or "\0" in str(given):
        raise MftError("should be a path")
    try:
        path = Path(given).expanduser()
    except RuntimeError as error:
        raise MftError(f"{given} refers to a home directory that cannot be determined") from error
    return Path(os.path.normpath(directory / path))


def _of_object(given: object) -> LocalPlugin:
    """A module, a component's class, a hook, or an object that has hooks."""
    if isinstance(given, ModuleType):
        return LocalPlugin.of_object(given, given.__name__)
    name = f"{getattr(given, '__module__', '')}.{getattr(given, '__qualname__', type(given).__qualname__)}"
    if isinstance(given, type) and issubclass(given, Component):
        plugin = LocalPlugin.of_object(given, name)
        return LocalPlugin(plugin.name, plugin.sha256, _registering(given), plugin.identity)
    if isinstance(given, FunctionType):
        plugin = LocalPlugin.of_object(given, name)
        hooks = SimpleNamespace(**{given.__name__: given})
        return LocalPlugin(plugin.name, plugin.sha256, hooks, plugin.identity)
    if isinstance(given, bool | int | float | list | dict | tuple | bytes | None):
        raise MftError(f"should be a path, a module, a class or a function, not {type(given).__name__}")
    return LocalPlugin.of_object(given, name)


def _registering(component: type[Component]) -> object:
    """A plugin that registers one class."""
    kind = next((kind for kind in kinds.KINDS if issubclass(component, kind.interface)), None)
    if kind is None:
        raise MftError(f"{component.__qualname__} is a component of no kind: derive it from mftkit.Loss, ...")
    own = getattr(component, "name", None)
    name = own if isinstance(own, str) else component_name(component.__name__)
    text = inspect.cleandoc(component.__doc__ or "").strip()
    summary = text.splitlines()[0] if text else f"{component.__qualname__}, given in Python"

    def register_it(register: Register) -> None:
        register(name, component, summary=summary)

    return SimpleNamespace(**{kind.hook: hookimpl(register_it)})


def component_name(class_name: str) -> str:
    """The name of a component after its class.

    >>> component_name("TokenSquare"), component_name("GPT2Adapter"), component_name("_Mine")
    ('token-square', 'gpt2-adapter', 'mine')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name)
    return re.sub(r"[-_]+", "-", words).strip("-").lower()
