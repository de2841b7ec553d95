"""The run, as trackers and callbacks see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.attribute_docs import documented

if TYPE_CHECKING:
    from pathlib import Path


@documented
@dataclass(frozen=True)
class RunInfo:
    """The run that an event belongs to."""

    name: str
    output: Path
    """The run directory."""
    spec: dict[str, Any]
    """The whole resolved spec, as in spec.json."""
    tasks: tuple[str, ...]
    """Names of the tasks; the order is the tasks' index."""
