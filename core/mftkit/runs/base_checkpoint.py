"""``base/``: where a run keeps its own base, which its adapter names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.checksums import fingerprint

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class BaseCheckpoint:
    """The run's own base, in place or staged."""

    path: Path
    """Its path in the run directory, which an adapter names."""
    staged: Path
    """Its path until the run's files are written and ``path`` is free."""
    kept: bool = False
    """Whether the run has one already, and continues with it."""

    @property
    def current(self) -> Path:
        """Its path now."""
        return self.path if self.kept else self.staged


def base_fingerprint(directory: Path) -> dict[str, list[int]]:
    """Size and checksum of each file of weights: an adapter fits these weights and no others."""
    return {file.name: fingerprint(file) for file in sorted(directory.glob("*.safetensors"))}
