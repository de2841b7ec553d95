"""What a kind of component is, and finding one by the name a person gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit_registry.errors import UnknownKindError
from mftkit_registry.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Kind:
    """A kind of component: plugins give components of it through ``hook``."""

    name: str
    hook: str
    """Name of the hook that plugins implement; it is called with ``register``."""
    interface: str
    """Import string ("package.module:Class") of the base class, resolved only when a component is used."""
    aliases: tuple[str, ...] = ()
    """Other names by which a person may call the kind."""
    reserved: tuple[str, ...] = ()
    """Names that no component of this kind may have, because the host gives them a meaning."""

    def spellings(self) -> frozenset[str]:
        """Every accepted name, with hyphens, in singular and plural.

        >>> sorted(Kind("loss", "register_losses", "m:Loss", aliases=("objective",)).spellings())
        ['loss', 'losses', 'objective', 'objectives']
        """
        plural = self.hook.removeprefix("register_").replace("_", "-")
        others = (word + ("es" if word.endswith("s") else "s") for word in (self.name, *self.aliases))
        return frozenset((self.name, plural, *self.aliases, *others))


def find_kind(kinds: Iterable[Kind], name: str) -> Kind:
    """The kind that a person calls ``name``: singular or plural, hyphens or underscores, upper or lower case.

    Raises UnknownKindError, which lists the kinds there are.
    """
    kinds = tuple(kinds)
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    for kind in kinds:
        if wanted in kind.spellings():
            return kind
    close = nearest(wanted, [kind.name for kind in kinds])
    hint = f'; did you mean "{close[0]}"?' if close else ""
    allowed = ", ".join(f'"{kind.name}"' for kind in kinds)
    raise UnknownKindError(f'unknown kind of component "{name}"; allowed: {allowed}{hint}')
