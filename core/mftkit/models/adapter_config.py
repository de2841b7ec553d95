"""The config of a PEFT adapter: peft does not check its values, and fails in the middle of its work on wrong ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mftkit.base.formatting import shortened
from mftkit.base.json_files import read_json_object
from mftkit.base.reasons import reason
from mftkit.models.config import ADAPTER_CONFIG
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject


def read_adapter_config(directory: Path) -> JsonObject:
    """Return the config of an adapter. Raises MftError, with the file and the key, for what no adapter has."""
    file = directory / ADAPTER_CONFIG
    if not file.is_file():
        raise MftError(f"RUN: {directory} has no {ADAPTER_CONFIG}; give the directory of a PEFT adapter")
    try:
        config = read_json_object(file)
    except (OSError, ValueError) as error:
        raise MftError(f"RUN: {file} cannot be read: {reason(error)}; write the adapter again") from error
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {str(kind.value) for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    if (kind := config.get("peft_type")) not in kinds:
        known = f"one that peft has (given: {shortened(repr(kind), 80)})"
        raise MftError(f"RUN: {file}: peft_type should be {known}; fix it, or install the peft that wrote it")
    for key, (is_valid, expected) in _VALUES.items():
        if key in config and not is_valid(config[key]):
            given = shortened(repr(config[key]), 80)
            raise MftError(f"RUN: {file}: {key} should be {expected} (given: {given}); fix it")
    return config


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _are_names(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _is_pattern(value: object) -> bool:
    return isinstance(value, str) or _are_names(value)


def _are_numbers(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(map(_is_number, value.values())))


_VALUES = {
    "r": (_is_rank, "an integer above 0"),
    "lora_alpha": (_is_number, "a number"),
    "lora_dropout": (_is_share, "a number from 0 to below 1"),
    "target_modules": (_is_pattern, "a list of names, or a pattern"),
    "exclude_modules": (_is_pattern, "a list of names, or a pattern"),
    "modules_to_save": (_are_names, "a list of names"),
    "rank_pattern": (_are_numbers, "an object with numbers"),
    "alpha_pattern": (_are_numbers, "an object with numbers"),
}
"""Keys that several kinds of peft share, with a test of their values and what they should be."""
