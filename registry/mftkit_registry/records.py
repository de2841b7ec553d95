"""What is known of each component and each plugin, and turning an import string into a class."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from mftkit_registry.errors import BrokenComponentError, MftError

Status = Literal["ok", "blocked", "error", "conflict"]


@dataclass(frozen=True)
class PluginRecord:
    """One row of the list of plugins: a component, a plugin's callbacks, or a plugin that was not loaded."""

    kind: str
    """A kind's name; "callbacks" for run events; "plugin" for one that is broken or blocked."""
    name: str
    """The component's name, or else the entry point's."""
    summary: str
    distribution: str
    version: str
    entry_point: str
    status: Status = "ok"
    error: str | None = None
    """Why ``status`` is not "ok"."""
    default: bool = False
    """Whether a spec that names no component of this kind gets this one."""


@dataclass(frozen=True)
class Registration:
    """A component as its plugin registered it, with where it came from."""

    kind: str
    name: str
    summary: str
    target: str | type
    """The class, or "package.module:Class"."""
    interface: str
    """Import string of the class it must subclass."""
    distribution: str
    version: str
    entry_point: str
    default: bool = False

    @property
    def origin(self) -> str:
        """Distribution, version and entry point, for messages."""
        return f'{self.distribution} {self.version} (entry point "{self.entry_point}")'

    def resolve(self) -> type[Any]:
        """The component's class. Raises BrokenComponentError where it fails to load or is of no such kind."""
        target = load_object(self.target, self) if isinstance(self.target, str) else self.target
        base = import_object(self.interface)
        if not (isinstance(target, type) and issubclass(target, base)):
            raise BrokenComponentError(
                f'{self.kind} "{self.name}" of {self.origin}: {_shown(self.target)} is not a subclass of '
                f"{base.__module__}.{base.__qualname__}; mend it in {self.distribution}"
            )
        return target


def import_object(path: str) -> Any:
    """What "package.module:Class" names. Raises whatever the import raises."""
    module, _, attribute = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def load_object(path: str, registration: Registration) -> Any:
    """``import_object``, where a failure is told as the plugin's."""
    try:
        return import_object(path)
    except MftError:
        raise
    except (Exception, SystemExit) as error:
        raise BrokenComponentError(
            f'{registration.kind} "{registration.name}" of {registration.origin} cannot be loaded from '
            f'"{path}": {describe(error)}; mend or reinstall {registration.distribution}'
        ) from error


def describe(error: BaseException) -> str:
    """An exception in one line: its type and its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _shown(target: str | type) -> str:
    return f'"{target}"' if isinstance(target, str) else f"{target.__module__}.{target.__qualname__}"
