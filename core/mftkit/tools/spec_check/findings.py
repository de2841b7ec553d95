"""What a check has found, each with its place in the spec."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mftkit.spec import Spec
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.spec.positions import Location, Positions

Level = Literal["error", "warning", "not checked"]
_KEY = re.compile(r"([a-z_]+(?:\.[^\s.:]+)*): ")


@dataclass(frozen=True)
class Finding:
    """One error, warning, or thing that could not be checked."""

    level: Level
    location: Location
    text: str
    """What it is, without its key."""

    @property
    def key(self) -> str:
        """The key, with dots."""
        return ".".join(map(str, self.location)) or "the spec"

    def line(self, positions: Positions) -> str:
        """It with its place: ``FILE:LINE: KEY: TEXT``."""
        return f"{positions.place(self.location)}: {self.key}: {self.text}"


@dataclass
class Findings:
    """Collects findings in the order in which they are found, each once."""

    found: dict[Finding, None] = field(default_factory=dict)

    def add(self, level: Level, location: Location, message: str) -> None:
        """Add a finding; a key of the spec at the beginning of the message is its place."""
        if (named := _KEY.match(message)) and named[1].split(".")[0] in Spec.model_fields:
            location = tuple(int(part) if part.isdecimal() else part for part in named[1].split("."))
            message = message[named.end() :]
        self.found[Finding(level, location, message)] = None

    def error(self, location: Location, message: str) -> None:
        """Add what would end a run."""
        self.add("error", location, message)

    def warn(self, location: Location, message: str) -> None:
        """Add what the user should know, and would not end a run."""
        self.add("warning", location, message)

    def unchecked(self, location: Location, message: str) -> None:
        """Add what could not be checked here, and why."""
        self.add("not checked", location, message)

    @contextmanager
    def guard(self, location: Location) -> Iterator[None]:
        """Add a MftError that is raised in the block as an error at ``location``."""
        try:
            yield
        except MftError as error:
            self.error(location, str(error))

    def of(self, level: Level) -> tuple[Finding, ...]:
        """The findings of a level."""
        return tuple(finding for finding in self.found if finding.level == level)
