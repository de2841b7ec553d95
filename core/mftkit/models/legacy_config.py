"""The config of a checkpoint in a family's own layout: every number read from it, what does not fit refused."""

from __future__ import annotations

from typing import Any

from mftkit_registry import MftError


class LegacyConfig:
    """Reads a config under the family's own keys; what it lacks, and what it must not say, raises MftError.

    >>> OriginalConfig("Tiny", {"layers": 2}).whole("layers")
    2
    """

    def __init__(self, family: str, values: dict[str, Any]) -> None:
        self.family = family
        self.values = values

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number above 0."""
        value = self._given(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, value, "must be a whole number above 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number, 0 or more."""
        value = self._given(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.error(key, value, "must be a number")
        return float(value)

    def positive(self, key: str, default: float | None = None) -> float:
        """A number above 0."""
        number = self.number(key, default)
        if not number > 0:
            raise self.error(key, number, "must be above 0")
        return number

    def flag(self, key: str, default: bool) -> bool:
        """True or false; ``default`` is what the family's own code takes where the key is absent."""
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.error(key, value, "must be true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """A text."""
        return str(self.values.get(key) or default)

    def kept(self, *keys: str) -> dict[str, Any]:
        """Those of the keys that are there, as they are."""
        return {key: self.values[key] for key in keys if self.values.get(key) is not None}

    def refuse(self, key: str, default: Any, *allowed: Any, why: str) -> None:
        """MftError where the key says anything but ``allowed``: the native architecture has no such thing."""
        value = self.values.get(key, default)
        if value not in allowed:
            raise self.error(key, value, f"cannot be represented: {why}")

    def error(self, key: str, value: Any, what: str) -> MftError:
        """What is wrong with a key."""
        return MftError(f"model.path: config.json: {key}: {value!r} {what} ({self.family})")

    def _given(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is None:
            value = default
        if value is None:
            raise MftError(
                f"model.path: config.json has no {key}, which {self.family} needs: "
                "the file is not complete, or of another family"
            )
        return value
