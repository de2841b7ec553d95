"""What environment.json says of the run that a run resumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec


def recorded_environment(spec: Spec) -> JsonObject | None:
    """The environment.json of the run in the spec's output directory; None if there is no checkpoint to resume from."""
    steps = spec.output / "checkpoints"
    if not steps.is_dir() or not any(entry.name.startswith("step-") for entry in steps.iterdir()):
        return None
    try:
        return read_json_object(spec.output / "environment.json")
    except (OSError, ValueError):
        return None
