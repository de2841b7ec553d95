"""Finds the installed package that a component or an error belongs to, so that a message can name it."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from mftkit.plugins import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit_registry.discovery import Found

HOST = "mftkit"


def plugin_of_error(error: BaseException) -> str | None:
    """The plugin, not of mftkit itself, in whose code an error was raised; None if there is none.

    The innermost frame decides. An error's causes, and the error during whose handling it was raised, are
    searched after it, and the parts of an exception group.
    """
    owners = _owners()
    for one in _chain(error):
        for frame, line in reversed(list(traceback.walk_tb(one.__traceback__))):
            found = owners.get(str(frame.f_globals.get("__name__", "")).partition(".")[0])
            if found is not None:
                return _shown(found) if found.local is None else f"{found.name}:{line}"
    return None


def plugin_of_object(component: object) -> str | None:
    """The plugin, not of mftkit itself, that defines the class of an object; None if there is none."""
    found = _owners().get(type(component).__module__.partition(".")[0])
    return None if found is None else _shown(found)


def plugin_suffix(component: object) -> str:
    """What follows "fix the plugin": a space and ``plugin_of_object``, or nothing if there is none."""
    plugin = plugin_of_object(component)
    return f" {plugin}" if plugin else ""


def _owners() -> dict[str, Found]:
    """The plugins of other packages, by the outermost package of their modules."""
    registry = installed.registry()
    strangers = {found.name: found for found in registry.found if found.distribution != HOST}
    owners = {
        found.entry_point.module.partition(".")[0]: found
        for found in strangers.values()
        if found.entry_point is not None
    }
    for found in strangers.values():
        if found.local is not None and found.local.is_file and found.local.module_name is not None:
            owners[found.local.module_name.partition(".")[0]] = found
    for registration in registry.registrations:  # components may lie in a package beside the entry point's
        if registration.entry_point in strangers and not registration.is_local:
            module = (
                registration.target
                if isinstance(registration.target, str)
                else registration.target.__module__
            )
            owners.setdefault(module.partition(":")[0].partition(".")[0], strangers[registration.entry_point])
    owners.pop(HOST, None)
    return owners


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _chain(part)
        error = error.__cause__ or error.__context__


def _shown(found: Found) -> str:
    return found.name if found.local else f'"{found.name}" ({found.owner})'
