"""``base/``: where a run keeps a base of its own, which its adapter names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class BaseCheckpoint:
    """Where a run keeps a base of its own."""

    path: Path
    """Its place in the run directory, which an adapter names."""
    staged: Path
    """Where it is written, until the run is described and its place is free."""
    kept: bool = False
    """Whether the run has one already, and goes on with it."""

    @property
    def current(self) -> Path:
        """Where it lies now."""
        return self.path if self.kept else self.staged
