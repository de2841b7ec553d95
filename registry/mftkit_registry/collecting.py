"""The ``register`` that a plugin's hooks are called with: checks each component as it comes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mftkit_registry.records import Registration

if TYPE_CHECKING:
    from mftkit_registry.discovery import Found
    from mftkit_registry.kinds import Kind

NAME = re.compile(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*")
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class RejectedError(Exception):
    """A plugin does not do as it should; the message becomes the error of its row."""


class Collector:
    """Collects what one plugin registers of one kind; nothing counts before the whole plugin is through."""

    def __init__(self, kind: Kind, found: Found) -> None:
        self.kind = kind
        self.found = found
        self.registrations: dict[str, Registration] = {}

    def register(self, name: str, target: str | type, *, summary: str, default: bool = False) -> None:
        """Give a component: its name, its class or "package.module:Class", and a line on what it does.

        ``default``: a spec that names no component of this kind gets this one. Raises RejectedError.
        """
        self._check(name, target, summary, default)
        self.registrations[name] = Registration(
            self.kind.name,
            name,
            summary.strip(),
            target,
            self.kind.interface,
            self.found.distribution,
            self.found.version,
            self.found.name,
            default,
        )

    def _check(self, name: object, target: object, summary: object, default: object) -> None:
        where = f"{self.kind.hook}: {name!r}"
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise RejectedError(f"{where} is no name: letters and digits, with single - _ . between them")
        if name in self.kind.reserved:
            raise RejectedError(f"{where} is a name with a meaning of its own: choose another")
        if name in self.registrations:
            raise RejectedError(f"{where} is registered twice")
        if not isinstance(target, type) and not (isinstance(target, str) and TARGET.fullmatch(target)):
            raise RejectedError(f'{where}: the target is a class or "package.module:Class", not {target!r}')
        if not isinstance(summary, str) or not summary.strip() or len(summary.strip().splitlines()) > 1:
            raise RejectedError(f"{where}: summary is one line of text, not {summary!r}")
        if not isinstance(default, bool):
            raise RejectedError(f"{where}: default is True or False, not {default!r}")
