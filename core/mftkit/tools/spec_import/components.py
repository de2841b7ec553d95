"""The components that stand for settings of other toolkits: a table, so that no component is named in code."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject


@cache
def _table() -> JsonObject:
    table: JsonObject = json.loads(files(__package__).joinpath("components.json").read_text("utf-8"))
    return table


def component(meaning: str) -> str:
    """Return the name of the component that does what ``meaning`` says."""
    return str(_table()["components"][meaning])


def options_of(meaning: str) -> JsonObject:
    """Return the options with which the component does what ``meaning`` says; empty for none."""
    return dict(_table()["options"].get(meaning, {}))


def meaning_of(setting: str, value: object) -> str | None:
    """Return what a value of a toolkit's setting means; None for a value that has no counterpart.

    A tuning that is not set trains all parameters.
    """
    if setting == "tuning" and value is None:
        return "all parameters"
    found = _table()["values"][setting].get(str(value).lower())
    return None if found is None else str(found)


def peft_fields() -> str:
    """Return the option of the adapters' tuning that passes fields on to peft."""
    return str(_table()["peft_fields"])
