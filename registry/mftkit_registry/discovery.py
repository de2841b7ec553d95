"""Finds entry points: each distribution is read on its own, so that a damaged one affects no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING

from mftkit_registry.records import describe
from mftkit_registry.requirements import unmet_requirement

if TYPE_CHECKING:
    from mftkit_registry.local import LocalPlugin

UNKNOWN = "unknown"
"""Stands for a name or version that is missing in the metadata."""


@dataclass(frozen=True)
class Found:
    """One entry point, or a distribution whose entry points cannot be read; with ``error`` it must not be loaded."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint | None = field(compare=False)
    error: str | None = None
    local: LocalPlugin | None = None
    """The plugin itself, where no distribution has it."""

    @classmethod
    def of_local(cls, plugin: LocalPlugin) -> Found:
        """A plugin that no distribution has; its path stands for the distribution's name."""
        return cls(plugin.name, plugin.name, plugin.version, None, local=plugin)

    @property
    def owner(self) -> str:
        """Distribution and version, or the path, for messages."""
        return self.name if self.local else f"{self.distribution} {self.version}".strip()

    def load(self) -> object:
        """The object that has the hooks. Raises whatever its import raises."""
        if self.local is not None:
            return self.local.load()
        return self.entry_point.load() if self.entry_point else None


def discover(group: str, first: str) -> list[Found]:
    """The entry points of ``group``: those of distribution ``first``, then by name, then by owner.

    If a distribution is on the path twice, the first one is taken, as in an import.
    """
    found: list[Found] = []
    seen: set[str] = set()
    installed = _installed_version(first)
    for candidate in distributions():
        if not _declares(candidate, group):
            continue
        name = _text(candidate, "name")
        if _normal(name) in seen:
            continue
        if name != UNKNOWN:
            seen.add(_normal(name))
        distribution = _first_on_path(candidate, name)
        unmet = None
        if installed is not None and _normal(name) != _normal(first):
            unmet = unmet_requirement(distribution, first, installed)
        if unmet is not None:
            unmet += f"; install matching versions: pip install --upgrade {name} {first}"
        found += [
            Found(point.name, name, point.version, point.entry_point, point.error or unmet)
            for point in _entry_points(distribution, group)
        ]
    return sorted(found, key=lambda f: (_normal(f.distribution) != _normal(first), f.name, f.distribution))


def _first_on_path(distribution: Distribution, name: str) -> Distribution:
    """The distribution that an import of ``name`` finds, perhaps another version than this one."""
    try:
        return Distribution.from_name(name)
    except PackageNotFoundError:
        return distribution


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except (PackageNotFoundError, ValueError, OSError):
        return None


def _declares(distribution: Distribution, group: str) -> bool:
    """Whether it has entry points of the group, as text: every distribution is asked, few are to be parsed."""
    return f"[{group}]" in (distribution.read_text("entry_points.txt") or "")


def _entry_points(distribution: Distribution, group: str) -> list[Found]:
    if not _declares(distribution, group):
        return []
    declared = _text(distribution, "version")
    try:
        points = [point for point in distribution.entry_points if point.group == group]
    except Exception as error:
        name = _text(distribution, "name")
        return [Found(name, name, declared, None, f"entry_points.txt: {describe(error)}")]
    return [Found(point.name, "", declared, point) for point in points]


def _text(distribution: Distribution, key: str) -> str:
    """A field of the metadata; a damaged installation may lack it."""
    try:
        value = distribution.metadata[key]
    except Exception:
        value = None
    return value or UNKNOWN


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
