"""Packages that only some components need."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def missing_packages(packages: Mapping[str, str]) -> dict[str, str]:
    """Those of the modules that are not installed, each with the package to install for it.

    >>> missing_packages({"json": "a-package", "no_such_module": "another", "no_such_package.module": "third"})
    {'no_such_module': 'another', 'no_such_package.module': 'third'}
    """
    return {module: package for module, package in packages.items() if not _is_installed(module)}


def missing_packages_text(missing: Mapping[str, str]) -> str:
    """A list of the missing modules and the command that installs them, for a message.

    >>> missing_packages_text({"yaml": "pyyaml", "PIL": "pillow>=10"})
    "not installed: yaml, PIL; pip install pyyaml 'pillow>=10'"
    """
    packages = dict.fromkeys(missing.values())
    quoted = [repr(package) if set(package) & set("<>[]!~; ") else package for package in packages]
    return f"not installed: {', '.join(missing)}; pip install {' '.join(quoted)}"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # the package around it is missing
        return False
