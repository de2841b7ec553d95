"""The file of what a merged model was measured at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

FILE = "measured.json"


@dataclass(frozen=True)
class MergeRecord:
    """What was measured of a merged model."""

    identity: str
    """What the numbers depend on."""
    losses: dict[str, float]
    """Task to validation loss, in nats per token."""
    metrics: dict[str, JsonObject]
    """Task to metrics by "EVALUATOR/METRIC", as in evaluation.json."""
    seconds: float
    """Time of merging and measuring."""

    def to_json(self) -> JsonObject:
        """As the file has it."""
        return asdict(self)


def read_merge(place: Path) -> MergeRecord | None:
    """What was measured of the model in a directory; None if it was not, or the file is damaged."""
    try:
        found = read_json_object(place / FILE)
        return MergeRecord(found["identity"], found["losses"], found["metrics"], found["seconds"])
    except (OSError, ValueError, KeyError):
        return None
