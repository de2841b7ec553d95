"""The task formats that may prompt a result for the text between two others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit.interfaces.references import ComponentRef
from mftkit.models.result import read_json
from mftkit.plugins import installed, kinds
from mftkit.runs.reference import find_weights
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.data.text.control_tokens import SpecialTokens
    from mftkit.interfaces.task_format import TaskFormat


class InfillFormat(NamedTuple):
    """A task format, and where its options come from."""

    task: str
    """The run's task that was trained with it; "": none, it has its default options."""
    task_format: TaskFormat
    special_tokens: SpecialTokens = "auto"
    """The run's ``data.special_tokens``."""


def infill_formats(reference: str | Path) -> list[InfillFormat]:
    """Return the formats of the run that made some weights, with their options there, and then all installed ones."""
    run = find_weights(reference).run
    found: list[InfillFormat] = []
    if run is not None:
        spec = read_json(run / "spec.json")
        special_tokens = spec.get("data", {}).get("special_tokens", "auto")
        for task in spec.get("tasks", []):
            if named := task.get("format"):
                ref = ComponentRef(name=named) if isinstance(named, str) else ComponentRef(**named)
                task_format: TaskFormat = installed.build(kinds.TASK_FORMAT, ref.name, ref.options)
                found.append(InfillFormat(task["name"], task_format, special_tokens))
    for row in installed.registry().plugins:
        if row.kind == kinds.TASK_FORMAT.name:
            try:
                found.append(InfillFormat("", installed.build(kinds.TASK_FORMAT, row.name, {})))
            except MftError:  # it has no default options
                continue
    return found
