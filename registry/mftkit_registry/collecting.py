"""The ``register`` that a plugin's hooks are called with: it checks each component at once."""

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
    """A plugin cannot be loaded; the message becomes the error of its row in the list."""

    function: object = None
    """The hook that is at fault, if it is no error of a call."""


class Collector:
    """Collects the components of one kind that one plugin registers; they take effect when all of it is loaded."""

    def __init__(self, kind: Kind[object], found: Found) -> None:
        self.kind = kind
        self.found = found
        self.registrations: dict[str, Registration[object]] = {}

    def register(self, name: str, target: str | type, *, summary: str, default: bool = False) -> None:
        """Register a component; see ``Register``. Raises RejectedError."""
        local = self.found.local
        if local is not None:
            target = local.own_target(target)  # type: ignore[assignment]  # checked below
        self._check(name, target, summary, default)
        self.registrations[name] = Registration(
            self.kind.name,
            name,
            summary.strip(),
            target,
            self.kind.base,
            self.found.distribution,
            self.found.version,
            self.found.name,
            default,
            is_local=local is not None,
        )

    def _check(self, name: object, target: object, summary: object, default: object) -> None:
        where = f"{self.kind.hook}: {name!r}"
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise RejectedError(
                f"{where} is not a valid name: use letters and digits, with single - _ . between them"
            )
        if name in self.kind.reserved:
            raise RejectedError(f"{where} is reserved: choose another name")
        if name in self.registrations:
            raise RejectedError(f"{where} is registered twice")
        if not isinstance(target, type) and not (isinstance(target, str) and TARGET.fullmatch(target)):
            raise RejectedError(f'{where}: target must be a class or "package.module:Class", not {target!r}')
        if not isinstance(summary, str) or not summary.strip() or len(summary.strip().splitlines()) > 1:
            raise RejectedError(f"{where}: summary must be one line of text, not {summary!r}")
        if not isinstance(default, bool):
            raise RejectedError(f"{where}: default must be True or False, not {default!r}")
