"""Types of the fixtures that give functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit_registry import Registry

if TYPE_CHECKING:
    import subprocess

Install = Callable[..., Path]
Load = Callable[..., Registry]
SpecDict = Callable[..., dict[str, Any]]
Problems = Callable[[dict[str, Any]], list[str]]
Mft = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = Callable[..., dict[str, dict[str, Any]]]
