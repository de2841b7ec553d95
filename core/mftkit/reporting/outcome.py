"""The end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import Signals

COMPLETED = ("finished", "early-stopped")
"""The reasons for which a run ends with a result."""


@dataclass(frozen=True)
class Outcome:
    """The end of a run: why, and at which step."""

    reason: str
    """"finished", "early-stopped", "interrupted" or "failed"; "planned" after a dry run."""
    step: int
    best_step: int | None
    error: str | None = None
    signal: Signals | None = None
    stopped_by: str | None = None
    """The callback that ended the run, with its reason; None if the run came to its end."""

    @property
    def is_complete(self) -> bool:
        """True if the run reached its end, and so has a result."""
        return self.reason in COMPLETED
