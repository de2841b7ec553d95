"""What is known of each component and each plugin, and turning an import string into a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal

from mftkit_registry.errors import BrokenComponentError, MftError
from mftkit_registry.importing import import_object
from mftkit_registry.kinds import C_co

Status = Literal["ok", "blocked", "error", "conflict"]


@dataclass(frozen=True)
class PluginRecord:
    """One row of the list of plugins: a component, a plugin's callbacks, or a plugin that is not loaded."""

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
    """The reason if ``status`` is not "ok"."""
    default: bool = False
    """True for the component that a spec gets if it names none of its kind."""
    sha256: str | None = None
    """Of a plugin that a spec names by its file; its ``distribution`` is the path."""


@dataclass(frozen=True)
class Registration(Generic[C_co]):
    """A component as its plugin registered it, and where it comes from."""

    kind: str
    name: str
    summary: str
    target: str | type
    """The class, or "package.module:Class"."""
    base: type[C_co] | str
    """The class that it must subclass, or "package.module:Class"."""
    distribution: str
    version: str
    entry_point: str
    default: bool = False
    is_local: bool = False
    """True for a plugin in no package: ``distribution`` is its path, ``version`` the beginning of its hash."""

    @property
    def interface(self) -> type[C_co]:
        """The class that it must subclass."""
        found: type[C_co] = import_object(self.base) if isinstance(self.base, str) else self.base
        return found

    @property
    def origin(self) -> str:
        """Distribution, version and entry point, or the path, for messages."""
        if self.is_local:
            return self.distribution
        return f'{self.distribution} {self.version} (entry point "{self.entry_point}")'

    @property
    def source(self) -> tuple[str, str]:
        """Distribution and version; of a local plugin the file's name, wherever it lies, and its content's hash."""
        return (Path(self.distribution).name if self.is_local else self.distribution, self.version)

    @property
    def fix(self) -> str:
        """What to do about a component that cannot be used."""
        return f"fix {self.distribution}" if self.is_local else f"fix or reinstall {self.distribution}"

    def resolve(self) -> type[C_co]:
        """The component's class. Raises BrokenComponentError if it cannot be loaded or is not of its kind."""
        target = self._loaded() if isinstance(self.target, str) else self.target
        if not (isinstance(target, type) and issubclass(target, self.interface)):
            raise BrokenComponentError(
                f'{self.kind} "{self.name}" of {self.origin}: {_shown(self.target)} is not a subclass of '
                f"{_shown(self.interface)}; fix it in {self.distribution}"
            )
        return target

    def _loaded(self) -> object:
        try:
            return import_object(str(self.target))
        except MftError:
            raise
        except (Exception, SystemExit) as error:
            raise BrokenComponentError(
                f'{self.kind} "{self.name}" of {self.origin} cannot be loaded from '
                f'"{self.target}": {describe(error)}; {self.fix}'
            ) from error


def describe(error: BaseException) -> str:
    """An exception in one line: its type and its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _shown(target: str | type) -> str:
    return f'"{target}"' if isinstance(target, str) else f"{target.__module__}.{target.__qualname__}"
