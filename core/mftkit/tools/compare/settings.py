"""Arms that change keys of the spec: their settings, from the command line or from Python, and their names."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.formatting import shortened
from mftkit.spec.reading import parse_json
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LONGEST_LABEL = 60
"""Characters of a label that is made from settings; a longer one is shortened."""
_OWN = {
    "output": "each run of a comparison has its own directory; see --output",
    "name": "each run of a comparison has its own name",
    "seed": "the seeds of a comparison are those of --seeds",
}
"""Keys that no arm can change, with the reason."""
_OPENING, _CLOSING = "[{", "]}"
_QUOTING = 'a value that contains a comma must be JSON: a list or an object in brackets, or a string in "double quotes"'


@dataclass(frozen=True)
class Setting:
    """One changed key of the spec."""

    key: str
    """Its path, such as ``training.learning_rate``."""
    value: object
    """As JSON has it."""

    @property
    def override(self) -> str:
        """The setting as ``--set`` has it."""
        return f"{self.key}={json.dumps(self.value)}"


@dataclass(frozen=True)
class Variant:
    """The settings of one arm, which together are its one change."""

    settings: tuple[Setting, ...]
    name: str | None = None
    """Its name, if it was given one."""

    @property
    def directory(self) -> str:
        """Part of a directory's name: readable, safe, and different for different settings."""
        text = short_text(self.settings)
        digest = hashlib.sha256(json.dumps([s.override for s in self.settings]).encode()).hexdigest()[:8]
        return f"{re.sub(r'[^A-Za-z0-9._=-]+', '-', text)[:40].strip('-.')}-{digest}"


def parse_vary(values: Iterable[str]) -> list[Variant]:
    """The grid of ``--vary KEY=V1,V2``: one arm for each combination of the keys' values.

    >>> [[s.override for s in each.settings] for each in parse_vary(["training.epochs=1,2", "loss=mixed"])]
    [['training.epochs=1', 'loss="mixed"'], ['training.epochs=2', 'loss="mixed"']]

    Raises MftError for a text that is not of this form.
    """
    axes: dict[str, list[object]] = {}
    for text in values:
        key, equals, rest = text.partition("=")
        parts = split_values(rest, f"--vary {text}") if equals else []
        if not key.strip() or not parts:
            raise MftError(
                f"--vary {text}: expected KEY=VALUE,VALUE, for example training.learning_rate=1e-5,3e-5"
            )
        if key.strip() in axes:
            raise MftError(f"--vary {text}: {key.strip()} is varied twice; give all its values at once")
        axes[key.strip()] = [_value(part) for part in parts]
    return grid(axes, "--vary")


def parse_arms(values: Iterable[str]) -> list[Variant]:
    """The arms of ``--arm [NAME:]KEY=VALUE[,KEY=VALUE]``.

    >>> arm = parse_arms(["long:training.epochs=3,training.warmup=0.1"])[0]
    >>> arm.name, [setting.override for setting in arm.settings]
    ('long', ['training.epochs=3', 'training.warmup=0.1'])

    Raises MftError for a text that is not of this form.
    """
    found = []
    for text in values:
        name, colon, rest = text.partition(":")
        if not colon or "=" in name:
            name, rest = "", text
        pairs: dict[str, object] = {}
        for part in split_values(rest, f"--arm {text}"):
            key, equals, value = part.partition("=")
            if not equals or not key.strip():
                raise MftError(
                    f"--arm {text}: expected [NAME:]KEY=VALUE,KEY=VALUE, and {part!r} is no KEY=VALUE; {_QUOTING}"
                )
            if key.strip() in pairs:
                raise MftError(f"--arm {text}: {key.strip()} is given twice")
            pairs[key.strip()] = _value(value)
        if not pairs or (colon and not name.strip() and "=" not in text.partition(":")[0]):
            raise MftError(f"--arm {text}: expected [NAME:]KEY=VALUE, for example long:training.epochs=3")
        found.append(variant(pairs, name.strip() or None, f"--arm {text}"))
    return found


def grid(axes: Mapping[str, Sequence[object]], source: str) -> list[Variant]:
    """One arm for each combination of the values of the keys; none without keys."""
    if not axes:
        return []
    for key, values in axes.items():
        if not values:
            raise MftError(f"{source} {key}: there are no values; give at least one")
    keys = list(axes)
    return [
        variant(dict(zip(keys, values, strict=True)), None, source)
        for values in itertools.product(*axes.values())
    ]


def variant(settings: Mapping[str, object], name: str | None, source: str) -> Variant:
    """An arm of these settings. Raises MftError for a key that no arm can change."""
    for key in settings:
        if key in _OWN:
            raise MftError(f"{source}: {key} cannot differ between arms: {_OWN[key]}")
    return Variant(tuple(Setting(key, value) for key, value in settings.items()), name)


def split_values(text: str, source: str) -> list[str]:
    """Split at commas that are in no brackets and no quotes.

    >>> split_values('1,[2,3],"a,b",{"c": [4, 5]}', "--vary")
    ['1', '[2,3]', '"a,b"', '{"c": [4, 5]}']
    """
    parts, depth, quoted, start = [], 0, False, 0
    for i, c in enumerate(text):
        if c == '"' and (i == 0 or text[i - 1] != "\\" or not quoted):
            quoted = not quoted
        elif not quoted and c in _OPENING:
            depth += 1
        elif not quoted and c in _CLOSING:
            depth -= 1
        elif c == "," and not quoted and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if quoted or depth:
        raise MftError(f"{source}: {'a double quote' if quoted else 'a bracket'} is not closed; {_QUOTING}")
    parts = [part.strip() for part in [*parts, text[start:]]]
    if not all(parts) and any(parts):
        raise MftError(f"{source}: there is nothing between two commas, or after the last one; {_QUOTING}")
    return [part for part in parts if part]


def labels(variants: Sequence[Variant]) -> list[str]:
    """The arms' names in tables: those given, or else their settings by the shortest keys that are unambiguous."""
    keys = {setting.key for each in variants for setting in each.settings}
    shortest = {key: _shortest(key, keys) for key in keys}
    return [each.name or short_text(each.settings, shortest) for each in variants]


def short_text(settings: Sequence[Setting], names: Mapping[str, str] | None = None) -> str:
    """Settings in a few words.

    >>> short_text([Setting("training.learning_rate", 1e-5), Setting("loss", {"name": "x", "options": {"a": 2}})])
    'learning_rate=1e-05, loss=x (a=2)'
    """
    shown = [
        f"{(names or {}).get(each.key) or each.key.rpartition('.')[2]}={_shown(each.value)}"
        for each in settings
    ]
    return shortened(", ".join(shown), LONGEST_LABEL)


def _shortest(key: str, keys: set[str]) -> str:
    """The fewest last parts of a key with which no other key ends."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        end = parts[-count:]
        if not any(other != key and other.split(".")[-count:] == end for other in keys):
            return ".".join(end)
    return key


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for key in ("name", "method"):  # a component
            rest = {name: each for name, each in value.items() if name != key}
            if isinstance(value.get(key), str):
                options = rest.pop("options", rest) if key == "name" else rest
                inner = ", ".join(f"{name}={json.dumps(each)}" for name, each in options.items())
                return f"{value[key]} ({inner})" if inner else str(value[key])
    return json.dumps(value)


def _value(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return text.strip()
