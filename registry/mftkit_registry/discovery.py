"""Finding entry points: each distribution is read by itself, so that a damaged one hurts only itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions

from mftkit_registry.records import describe

UNKNOWN = "unknown"
"""In place of a name or version that the metadata lacks."""


@dataclass(frozen=True)
class Found:
    """One entry point, or a distribution whose entry points cannot be read."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint | None = field(compare=False)
    error: str | None = None

    @property
    def owner(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()


def discover(group: str, first: str) -> list[Found]:
    """The entry points of ``group``: those of distribution ``first``, then by name, then by owner.

    Of a distribution that stands on the path twice, the first is taken, as an import would.
    """
    found: list[Found] = []
    seen: set[str] = set()
    for distribution in distributions():
        if not _entry_points(distribution, group):
            continue
        name = _text(distribution, "name")
        if _normal(name) in seen:
            continue
        if name != UNKNOWN:
            seen.add(_normal(name))
        points = _entry_points(_first_on_path(distribution, name), group)
        found += [Found(point.name, name, point.version, point.entry_point, point.error) for point in points]
    return sorted(found, key=lambda f: (_normal(f.distribution) != _normal(first), f.name, f.distribution))


def _first_on_path(distribution: Distribution, name: str) -> Distribution:
    """The distribution that an import of ``name`` gets, perhaps another version than this one."""
    try:
        return Distribution.from_name(name)
    except PackageNotFoundError:
        return distribution


def _entry_points(distribution: Distribution, group: str) -> list[Found]:
    try:
        points = [point for point in distribution.entry_points if point.group == group]
    except Exception as error:
        text = distribution.read_text("entry_points.txt") or ""
        if f"[{group}]" not in text:
            return []
        name = _text(distribution, "name")
        return [
            Found(name, name, _text(distribution, "version"), None, f"entry_points.txt: {describe(error)}")
        ]
    return [Found(point.name, "", _text(distribution, "version"), point) for point in points]


def _text(distribution: Distribution, key: str) -> str:
    """A field of the metadata, which a damaged installation may lack."""
    try:
        value = distribution.metadata[key]
    except Exception:
        value = None
    return value or UNKNOWN


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
