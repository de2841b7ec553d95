"""What a kind of component is, and how it is found by the name that a user gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from mftkit_registry.errors import UnknownKindError
from mftkit_registry.importing import import_object, import_string
from mftkit_registry.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

C_co = TypeVar("C_co", covariant=True)
"""The interface of a kind."""


@dataclass(frozen=True)
class Kind(Generic[C_co]):
    """A kind of component: plugins register components of it in its hook.

    >>> class Loss: ...
    >>> Kind("loss", Loss).hook, Kind("data-filter", Loss).hook
    ('register_losses', 'register_data_filters')
    """

    name: str
    """In singular, lower case, with hyphens."""
    base: type[C_co] | str
    """The base class of its components, or "package.module:Class", which is imported when it is needed."""
    aliases: tuple[str, ...] = ()
    """Other names by which a user may call the kind."""
    reserved: tuple[str, ...] = ()
    """Names that no component of this kind may have, because the host gives them a meaning."""

    @property
    def interface(self) -> type[C_co]:
        """The base class of its components."""
        found: type[C_co] = import_object(self.base) if isinstance(self.base, str) else self.base
        return found

    @property
    def interface_name(self) -> str:
        """The name of that class, which is not imported."""
        return import_string(self.base).rpartition(":")[2]

    @property
    def package(self) -> str:
        """The top-level package of that class."""
        return import_string(self.base).partition(":")[0].partition(".")[0]

    @property
    def plural(self) -> str:
        """The name in plural."""
        return _plural(self.name)

    @property
    def hook(self) -> str:
        """Name of the hook that plugins implement; it is called with ``register``."""
        return f"register_{self.plural.replace('-', '_')}"

    def spellings(self) -> frozenset[str]:
        """Every accepted name, with hyphens, in singular and plural.

        >>> class Loss: ...
        >>> sorted(Kind("loss", Loss, aliases=("objective",)).spellings())
        ['loss', 'losses', 'objective', 'objectives']
        """
        names = (self.name, *self.aliases)
        return frozenset((*names, *map(_plural, names)))


K = TypeVar("K", bound=Kind[object])


def find_kind(kinds: Iterable[K], name: str) -> K:
    """The kind that a user calls ``name``: singular or plural, hyphens or underscores, upper or lower case.

    Raises UnknownKindError, which lists the kinds.
    """
    kinds = tuple(kinds)
    spelling = name.strip().lower().replace("_", "-").replace(" ", "-")
    for kind in kinds:
        if spelling in kind.spellings():
            return kind
    close = nearest(spelling, [kind.name for kind in kinds])
    hint = f'; did you mean "{close[0]}"?' if close else ""
    allowed = ", ".join(f'"{kind.name}"' for kind in kinds)
    raise UnknownKindError(f'unknown kind of component "{name}"; allowed: {allowed}{hint}')


def _plural(name: str) -> str:
    return name + ("es" if name.endswith("s") else "s")
