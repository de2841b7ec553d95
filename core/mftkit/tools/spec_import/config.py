"""A config of another toolkit while it is translated: every key is accounted for exactly once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from mftkit.spec.commented import CommentedSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

    Rule = Callable[["Config", str, object], None]

Kind = Literal["translated", "approximated", "without meaning"]
UNKNOWN = "unknown to this importer"
NOT_SET = "not set"


@dataclass(frozen=True)
class Outcome:
    """What became of one key."""

    kind: Kind
    text: str
    """Where it is in the spec, or the reason why it is nowhere."""


@dataclass
class Config:
    """The keys of a config, the spec that they become, and what became of each."""

    toolkit: str
    """Its name in messages."""
    path: Path
    target: Path
    """The spec file to write; paths in the spec are relative to its directory."""
    given: JsonObject
    devices: int = 1
    defaults: Mapping[str, object] = field(default_factory=dict)
    """What the toolkit takes for keys that are not given."""
    spec: CommentedSpec = field(default_factory=lambda: CommentedSpec({}))
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """What the user has to fill in."""

    def value(self, key: str) -> object:
        """Return the value of a key, or the toolkit's default."""
        value = self.given.get(key)
        return self.defaults.get(key) if value is None else value

    def text(self, key: str) -> str | None:
        """Return a value as text; None where it is not set."""
        value = self.value(key)
        return None if value is None or value == "" else str(value)

    def number(self, key: str) -> float | None:
        """Return a number, which YAML 1.1 may have read as a string (1e-4); None where there is none."""
        value = self.value(key)
        if isinstance(value, bool) or value is None:
            return None
        try:
            return float(str(value))
        except ValueError:
            return None

    def count(self, key: str) -> int | None:
        """Return a whole number of 1 or more; None where there is none."""
        number = self.number(key)
        return int(number) if number is not None and number >= 1 and number == int(number) else None

    def flag(self, key: str) -> bool:
        """Return whether a setting is on."""
        value = self.value(key)
        return value is True or str(value).lower() in ("true", "yes", "1", "on")

    def translated(self, *keys: str, to: str) -> None:
        """Say that keys became ``to``, with the same meaning."""
        self._account(keys, Outcome("translated", to))

    def approximated(self, *keys: str, to: str, why: str) -> None:
        """Say that keys became ``to``, with another meaning."""
        self._account(keys, Outcome("approximated", f"{to}: {why}"))

    def without_meaning(self, *keys: str, why: str) -> None:
        """Say that keys are nowhere in the spec."""
        self._account(keys, Outcome("without meaning", why))

    def put(self, path: str, value: object, beside: str = "") -> None:
        """Set a key of the spec, such as "training.epochs"."""
        *sections, last = path.split(".")
        at = self.spec.content
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
        if beside:
            self.spec.beside[tuple(path.split("."))] = beside

    def apply(self, rules: Mapping[str, Rule]) -> None:
        """Apply the rule of each key that is not accounted for; a key without a rule is unknown.

        A key that is set to nothing means the toolkit's default, which the rule of its group has written.
        """
        for key, value in self.given.items():
            if key in self.outcomes:
                continue
            if value is None:
                self.translated(key, to=NOT_SET)
            elif key in rules:
                rules[key](self, key, value)
            else:
                self.without_meaning(key, why=UNKNOWN)

    def _account(self, keys: tuple[str, ...], outcome: Outcome) -> None:
        for key in keys:
            if key.partition(".")[0].partition("[")[0] in self.given or "[" in key or "." in key:
                self.outcomes.setdefault(key, outcome)


def direct(path: str) -> Rule:
    """A rule for a key whose value the spec has as it is."""

    def rule(config: Config, key: str, value: object) -> None:
        config.put(path, value)
        config.translated(key, to=path)

    return rule


def ignored(why: str) -> Rule:
    """A rule for a key that the spec has nothing for."""

    def rule(config: Config, key: str, _value: object) -> None:
        config.without_meaning(key, why=why)

    return rule


def ignored_keys(table: str) -> dict[str, Rule]:
    """Rules for the keys of a table in without_meaning.json, which lists keys by the reason."""
    reasons = json.loads(files(__package__).joinpath("without_meaning.json").read_text("utf-8"))[table]
    return {key: ignored(why) for why, keys in reasons.items() for key in keys}
