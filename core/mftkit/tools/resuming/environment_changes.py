"""What differs between the machines, processes and versions with which a run was started and resumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from mftkit.base.json_diff import differences
from mftkit.interfaces.engine import SINGLE_PROCESS
from mftkit.plugins import kinds
from mftkit.runs.spec_changes import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.base.json_types import JsonObject

ENVIRONMENT = ("packages", "device", "dtype")
"""Keys of environment.json that may affect numbers, beside ``components`` and those in ``DIVISION``."""
DIVISION = ("processes", "engine", "sharding")
"""Keys that say how the run is divided over processes; all of them may change."""


def environment_changes(before: JsonObject, now: JsonObject) -> list[Change]:
    """What differs between the environments of the last session and of this one, as far as it may affect numbers."""
    one, other = ({key: each.get(key) for key in (*ENVIRONMENT, *DIVISION)} for each in (before, now))
    found = [Change(each.path, each.one, each.other, None) for each in differences(one, other)]
    used, uses = _decisive(before.get("components")), _decisive(now.get("components"))
    if used != uses:
        found.append(Change("components", used, uses, None))
    return sorted((change for change in found if change.before is not None), key=lambda change: change.key)


def describe_environment_changes(changes: list[Change], model: nn.Module) -> Iterator[str]:
    """Sentences about ``changes``, for a run that trains ``model``."""
    divided = {change.key: change for change in changes if change.key.partition(".")[0] in DIVISION}
    others = [change for change in changes if change.key not in divided]
    if divided:
        yield _describe_division(divided, model)
    if others:
        yield f"resuming in another environment, so the last digits may differ: {'; '.join(map(str, others))}"


def _describe_division(divided: dict[str, Change], model: nn.Module) -> str:
    parts = []
    if (count := divided.get("processes")) is not None:
        parts.append(f"{count.now} {'process' if count.now == 1 else 'processes'} ({count.before} before)")
    engine = divided.get("engine")
    if engine is not None and SINGLE_PROCESS not in (engine.before, engine.now):
        parts.append(f"engine {engine.now} ({engine.before} before)")
    if not parts:  # the same engine with other options
        parts += [
            f"{change.key.removeprefix('sharding.')} {change.now} ({change.before} before)"
            for change in divided.values()
        ]
    text = f"resumes with {' and '.join(parts)}, so the last digits may differ"
    if count is not None and _has_dropout(model):
        text += ", and dropout draws other masks"
    return text


def _has_dropout(model: nn.Module) -> bool:
    """Return True if some layer of the model has a dropout, or its attention."""
    return any(
        (isinstance(module, nn.Dropout) and module.p > 0) or bool(getattr(module, "attention_dropout", 0))
        for module in model.modules()
    )


def _decisive(components: list[JsonObject] | None) -> list[JsonObject] | None:
    """The components that may affect numbers; trackers and callbacks may come and go, and so may the engine."""
    if components is None:
        return None
    free = {kind.name for kind in (kinds.TRACKER, kinds.CALLBACK, kinds.ENGINE)}
    return [component for component in components if component["kind"] not in free]
