"""Lines of a spec's keys in the file that it was read from, for messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Location = tuple[int | str, ...]
"""Keys and indices that lead to a place in a spec."""


@dataclass(frozen=True)
class Positions:
    """Where the keys of a spec were given: a line of a file, or ``--set``.

    >>> at = Positions("s.yaml", {(): 1, ("training",): 4}, overridden=(("seed",),))
    >>> at.place(("training", "epochs")), at.place(("seed",)), at.line(("training", "epochs"))
    ('s.yaml:4', '--set', 4)
    """

    source: str
    """The file as it was given; "spec" for a spec that is not from a file."""
    lines: Mapping[Location, int] = field(default_factory=dict)
    """Line of each key and of each item of a list; that of () is the line on which the whole begins."""
    overridden: Sequence[Location] = ()
    """What ``--set`` has changed."""

    def line(self, location: Location) -> int | None:
        """The line of the key, or of the innermost object around it that is in the file; None if there is none."""
        if self.is_overridden(location):
            return None
        parts = (location[:length] for length in range(len(location), -1, -1))
        return next((self.lines[part] for part in parts if part in self.lines), None)

    def is_overridden(self, location: Location) -> bool:
        """Whether ``--set`` gave the value at ``location``, or a value around it."""
        return any(location[: len(key)] == key for key in self.overridden)

    def place(self, location: Location) -> str:
        """``FILE:LINE``, ``--set``, or the source alone if it has no lines."""
        if self.is_overridden(location):
            return "--set"
        line = self.line(location)
        return self.source if line is None else f"{self.source}:{line}"
