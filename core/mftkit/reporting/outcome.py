"""How a run ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import Signals


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    reason: str
    """"finished", "early-stopped", "interrupted" or "failed"."""
    step: int
    best_step: int | None
    error: str | None = None
    signal: Signals | None = None
