"""Packages for plugin authors to start from."""

from mftkit.tools.scaffold.packages import NewPackage, new_package

__all__ = ["NewPackage", "new_package"]
