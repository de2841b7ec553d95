"""Compares the host's version that a plugin requires with the one that is installed."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def unmet_requirement(distribution: Distribution, host: str) -> str | None:
    """In words, the requirement on ``host`` that the installed version does not meet; None if there is none.

    Requirements of extras are left out, and so is what cannot be read: pip has complained about it already.
    """
    try:
        installed = version(host)
        lines = distribution.requires or []
    except (PackageNotFoundError, ValueError, OSError):
        return None
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != canonicalize_name(host):
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            return f"requires {host} {requirement.specifier}, but {host} {installed} is installed"
    return None
