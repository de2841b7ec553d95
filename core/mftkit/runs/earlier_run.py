"""The run that an output directory holds already, as the spec that is to be run finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import EndLine
    from mftkit.runs.spec_changes import Change


@dataclass(frozen=True)
class EarlierRun:
    """A run of the same spec, except for what may change."""

    path: Path
    """The run directory."""
    spec: JsonObject
    """Its spec, with the defaults of this version, where it lies now."""
    changes: tuple[Change, ...]
    """Keys with another value now, without ``output``."""
    moved_from: str | None
    """Where it lay when it was last run; None if it lies there still."""
    end: EndLine | None
    """The last line of a run that has ended."""
    last_step: int
    """The last step in its metrics."""

    @property
    def is_complete(self) -> bool:
        """True if it has a result."""
        return self.end is not None and self.end.is_complete

    @property
    def changes_end(self) -> bool:
        """True if a key that decides where the run ends has another value now."""
        keys = {change.key for change in self.changes if change.rule == "end"}
        if self.end is not None and self.end.reason == "finished":  # early stopping did not end it
            keys = {key for key in keys if not key.startswith("training.early_stopping")}
        # A callback has ended the run, and may not do so any more.
        stopped = self.end is not None and self.end.stopped_by is not None
        return bool(keys) or (stopped and any(change.key.startswith("callbacks") for change in self.changes))

    @property
    def changes_places(self) -> bool:
        """True if data or base model are elsewhere now, so that their content has to be compared."""
        return any(change.rule in ("data", "model") for change in self.changes)

    @property
    def is_finished(self) -> bool:
        """True if nothing is left to train."""
        return self.is_complete and not self.changes_end
