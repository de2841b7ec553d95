"""The config of a checkpoint in a family's own layout: typed access to its values, and refusal of unsupported ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject


class LegacyConfig:
    """Reads a config by the family's own keys; raises MftError for missing keys and unsupported values.

    >>> LegacyConfig("Tiny", {"layers": 2}).positive_int("layers")
    2
    """

    def __init__(self, family: str, values: JsonObject) -> None:
        self.family = family
        self.values = values

    def positive_int(self, key: str, default: int | None = None) -> int:
        """Return an integer above 0."""
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, value, "must be an integer above 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number, 0 or more."""
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise self.error(key, value, "must be a number, 0 or more")
        return float(value)

    def positive(self, key: str, default: float | None = None) -> float:
        """Return a number above 0."""
        number = self.number(key, default)
        if not number > 0:
            raise self.error(key, number, "must be above 0")
        return number

    def flag(self, key: str, default: bool) -> bool:
        """Return True or False; ``default`` is what the family's own code assumes if the key is absent."""
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.error(key, value, "must be true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """Return a string."""
        return str(self.values.get(key) or default)

    def kept(self, *keys: str) -> JsonObject:
        """Return those of the keys that are present, with their values unchanged."""
        return {key: self.values[key] for key in keys if self.values.get(key) is not None}

    def refuse(self, key: str, default: object, *allowed: object, why: str) -> None:
        """Raise MftError if the key has a value other than ``allowed``, which the native architecture lacks."""
        value = self.values.get(key, default)
        if value not in allowed:
            raise self.error(key, value, f"is not supported: {why}")

    def error(self, key: str, value: object, what: str) -> MftError:
        """Return the error for a key with a wrong value."""
        return MftError(f"model.path: config.json: {key}: {value!r} {what} ({self.family})")

    def _required(self, key: str, default: object) -> object:
        value: object = self.values.get(key)
        if value is None:
            value = default
        if value is None:
            raise MftError(
                f"model.path: config.json has no {key}, which {self.family} requires: "
                "the file is incomplete, or belongs to another family"
            )
        return value
