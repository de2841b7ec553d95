"""The name of a new component, and the names derived from it."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit_registry import Kind, Registry

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 50


@dataclass(frozen=True)
class Names:
    """The names of a package and its component."""

    component: str
    """In specs, and as the entry point."""
    distribution: str
    package: str
    """The importable package."""
    class_name: str


def names_for(component: str, kind: Kind[object], noun: str) -> Names:
    """The names of a package with one component; ``noun`` ends the class's name.

    Raises MftError for an invalid name, with the nearest valid one.
    """
    if not NAME.fullmatch(component) or len(component) > LONGEST or component in kind.reserved:
        reason = (
            f'"{component}" is reserved in specs'
            if component in kind.reserved
            else "a name starts with a letter, has lower-case letters and digits with single hyphens between them, "
            f"and at most {LONGEST} characters"
        )
        raise MftError(
            f'NAME: "{component}" cannot be the name of the {kind.name}: {reason}; did you mean '
            f'"{nearest_name(component, kind)}"?'
        )
    joined = "".join(word.capitalize() for word in component.split("-"))
    return Names(
        component=component,
        distribution=f"mft-{component}",
        package=f"mft_{component.replace('-', '_')}",
        class_name=joined if joined.endswith(noun) and joined != noun else joined + noun,
    )


def nearest_name(given: str, kind: Kind[object]) -> str:
    """The valid name most like ``given``.

    >>> from mftkit.plugins.kinds import LOSS
    >>> nearest_name("Très grand!", LOSS), nearest_name("3d_Loss", LOSS), nearest_name("", LOSS)
    ('tres-grand', 'my-3d-loss', 'my-loss')
    """
    plain = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", given))
    ascii_only = plain.encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", ascii_only) or [kind.name]
    name = "-".join(words)
    if not name[0].isalpha() or not re.search("[A-Za-z0-9]", given) or name in kind.reserved:
        name = f"my-{name}"
    return name[:LONGEST].rstrip("-")


def refuse_taken(names: Names, registry: Registry) -> None:
    """Raise MftError if an installed component, entry point or package has one of the names."""
    for row in registry.plugins:
        if names.component in (row.name, row.entry_point):
            what = f"the {row.kind}" if row.name == names.component else "an entry point"
            raise MftError(
                f'NAME: "{names.component}" is already the name of {what} of {row.distribution} {row.version}; '
                "choose another"
            )
    if importlib.util.find_spec(names.package) is not None:
        raise MftError(
            f'NAME: the package would be named "{names.package}", but a package of this name is already installed; '
            "choose another"
        )
