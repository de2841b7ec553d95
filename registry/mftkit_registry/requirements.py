"""Compares the host's version that a plugin requires with the one that is installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution


def unmet_requirement(distribution: Distribution, host: str, installed: str) -> str | None:
    """In words, the requirement on ``host`` that its ``installed`` version does not meet; None if there is none.

    Requirements of extras are left out, and so is what cannot be read: pip has complained about it already.
    """
    try:
        lines = distribution.requires or []
    except (ValueError, OSError):
        return None
    lines = [line for line in lines if _project(line) == _project(host)]
    if not lines:
        return None
    from packaging.requirements import InvalidRequirement, Requirement  # 12 ms, which each start would pay

    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            return f"requires {host} {requirement.specifier}, but {host} {installed} is installed"
    return None


def _project(requirement: str) -> str:
    """The normalized name that a requirement begins with.

    >>> _project("MFT_Kit[extra] >= 0.1")
    'mft-kit'
    """
    name = re.match(r"[\w.-]*", requirement)
    return re.sub(r"[-_.]+", "-", name.group() if name else "").lower()
