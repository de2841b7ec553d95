"""What a run is about to do, told before it does it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PlannedTask:
    """One task of the plan."""

    name: str
    samples: int
    """Training samples, however many of them an epoch draws."""
    tokens: int
    """Counting tokens an epoch."""
    share: float
    """Of all counting tokens, 0..1."""
    valid_samples: int
    truncated: int
    dropped: int
    skipped: int
    drawn: int | None = None
    """Samples that an epoch draws, repeated ones included; None: each sample once."""


@dataclass(frozen=True)
class Plan:
    """A run before it starts."""

    name: str
    output: Path
    tasks: tuple[PlannedTask, ...]
    rows: int
    """Rows of the first epoch."""
    fill: float
    """Share of ``rows * max_length`` positions that hold tokens, 0..1."""
    max_length: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    parameters: int
    trainable: int
    device: str
    processes: int
    dtype: str
    components: dict[str, str]
    """Kind to "name (distribution version)"."""
    notes: tuple[str, ...]
    mixing: str = ""
    """How an epoch is mixed; nothing where it has every sample once."""

    def dump(self) -> dict[str, Any]:
        """As plan.json has it."""
        return {**asdict(self), "output": str(self.output)}
