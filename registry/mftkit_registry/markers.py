"""The marks by which pluggy finds hooks, and the hook of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit_registry.kinds import Kind

PROJECT = "mft"
"""pluggy's project name, and the group of the entry points."""

hookspec = pluggy.HookspecMarker(PROJECT)
"""Marks the declaration of a hook, in the host."""
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks the implementation of a hook, in a plugin."""


class Register(Protocol):
    """The argument of a ``register_...`` hook: call it once for each component."""

    def __call__(self, name: str, target: str | type, *, summary: str, default: bool = False) -> None:
        """Register a component.

        Args:
            name: letters and digits, with single - _ . between them.
            target: the class, or "package.module:Class", which is imported when the component is used.
            summary: one line on what it does.
            default: True for the component that a spec gets if it names none of its kind.
        """


def registration_hook(kind: Kind[object], module: str) -> Callable[[Register], None]:
    """The declaration of the hook in which plugins register components of ``kind``; ``module`` shows it in its help."""

    def declaration(register: Register) -> None:
        pass

    declaration.__name__ = declaration.__qualname__ = kind.hook
    declaration.__module__ = module
    base = f"{kind.package}.{kind.interface_name}"
    declaration.__doc__ = f"Register {kind.plural.replace('-', ' ')}, subclasses of ``{base}``."
    return hookspec(declaration)
