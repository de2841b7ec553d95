"""The differences between the spec of a run and the spec with which it is resumed, and which of them are allowed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.formatting import shortened
from mftkit.base.json_diff import differences
from mftkit.plugins import installed, kinds
from mftkit.plugins.option_files import input_places
from mftkit.spec import Spec
from mftkit.spec.keys import fields_at, models_in
from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.training import LOSS, STOPS_TASKS
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import BaseModel

    from mftkit.base.json_diff import Difference
    from mftkit.base.json_types import JsonObject
    from mftkit.spec.on_resuming import Rule

LONGEST = 60
"""Characters of a value in a message."""
ROW_MAKERS = {"format": kinds.TASK_FORMAT, "generator": kinds.DATA_GENERATOR, "filters": kinds.DATA_FILTER}
"""Keys of a task that name components whose options determine rows: the files that they name are data."""


@dataclass(frozen=True)
class Change:
    """A key whose value differs, and the rule for it; None: it decides the numbers."""

    key: str
    before: object
    now: object
    rule: Rule | None

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.before)} -> {_shown(self.now)}"

    def dump(self) -> JsonObject:
        """As environment.json has it."""
        return {"key": self.key, "before": self.before, "now": self.now}


def changes_between(before: JsonObject, now: JsonObject) -> list[Change]:
    """All keys of two specs that differ, sorted, each with its rule."""
    stops_tasks = any(_stops_single_tasks(spec) for spec in (before, now))
    found = [
        Change(each.path, each.one, each.other, _rule(each, before, now, stops_tasks=stops_tasks))
        for each in differences(before, now)
    ]
    return sorted(found, key=lambda change: change.key)


def _stops_single_tasks(spec: JsonObject) -> bool:
    """Return True if validations decide the weights of tasks, and not only the end of the run."""
    stopping = (spec.get("training") or {}).get("early_stopping")
    return isinstance(stopping, dict) and stopping.get("criterion") in STOPS_TASKS


def _is_best_by_a_metric(spec: JsonObject) -> bool:
    """Return True if evaluations decide which step is the best, and when early stopping stops."""
    return bool((spec.get("training") or {}).get("best_by", LOSS) != LOSS)


def _rule(difference: Difference, before: JsonObject, now: JsonObject, *, stops_tasks: bool) -> Rule | None:
    rule, key = _marked(difference.place)
    if rule is None and _is_input_of_rows(difference.place, (before, now)):
        return "data"
    if rule == "data" and any(isinstance(value, int | float) for value in (difference.one, difference.other)):
        return None  # a fraction of the rows is no place
    if stops_tasks and (rule == "validation" or key == "early_stopping"):
        return None
    if (
        rule == "free"
        and key in ("evaluate", "every", "tasks")
        and any(map(_is_best_by_a_metric, (before, now)))
    ):
        return None  # evaluations decide
    return rule


def _marked(place: Sequence[str]) -> tuple[Rule | None, str]:
    """The rule of the outermost marked field around a place in the spec, and the field's name."""
    models: list[type[BaseModel]] = [Spec]
    for part in place:
        fields = fields_at(models, part)
        for field in fields:
            for mark in field.metadata:
                if isinstance(mark, OnResuming):
                    return mark.rule, part
        if fields:
            models = [inner for field in fields for inner in models_in(field.annotation)]
        elif not part.isdecimal():  # inside of what no model describes
            break
    return None, ""


def _is_input_of_rows(place: Sequence[str], specs: Iterable[JsonObject]) -> bool:
    """Return True for an option that is a path in both specs, of a component that makes rows or samples."""
    match place:
        case ["tasks", index, ("format" | "generator") as key, "options", *option]:
            chain: list[str] = [key]
        case ["tasks", index, "filters" as key, number, "options", *option]:
            chain = [key, number]
        case _:
            return False
    return all(_names_input(spec["tasks"][int(index)], chain, option) for spec in specs)


def _names_input(task: JsonObject, chain: Sequence[str], option: Sequence[str]) -> bool:
    component = task[chain[0]] if len(chain) == 1 else task[chain[0]][int(chain[1])]
    if not isinstance(component, dict):
        return False
    try:
        options = installed.component_class(ROW_MAKERS[chain[0]], component["name"]).Options
        return tuple(option) in input_places(options.model_validate(component["options"]))
    except (MftError, ValueError, KeyError):
        return False


def _shown(value: object) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), LONGEST)
