"""The run, as trackers and callbacks see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.attribute_docs import documented

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


NO_REASON = "no reason was given"


def _no_run(reason: str) -> None:
    raise RuntimeError(f"only a run in progress can be stopped (reason: {reason})")


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
    request_stop: Callable[[str], None] = field(default=_no_run, repr=False, compare=False)
    """What ``stop`` calls with the reason; a test may pass ``[].append``."""

    def stop(self, reason: str) -> None:
        """End the run as finished once the current step is done, with a validation and its result as at the end.

        Args:
            reason: in a few words, for the terminal and for the last line of metrics.jsonl. The first request counts.
        """
        self.request_stop(" ".join(str(reason).split()) or NO_REASON)
