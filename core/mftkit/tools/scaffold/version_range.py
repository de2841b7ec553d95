"""The versions of mftkit that a new package asks for."""

from __future__ import annotations

from importlib.metadata import version

from packaging.version import Version


def version_range(installed: str | None = None) -> str:
    """From the installed minor version up to the next major one, which may break packages (docs/plugins.md).

    >>> version_range("0.1.4"), version_range("2.3.0")
    ('>=0.1,<1', '>=2.3,<3')
    """
    now = Version(version("mftkit") if installed is None else installed)
    return f">={now.major}.{now.minor},<{now.major + 1}"
