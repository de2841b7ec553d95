"""Refuses directories with files whose reading never ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from pathlib import Path


def check_regular_files(directory: Path, where: str) -> None:
    """Raise MftError for a pipe, a device or a socket in a directory; ``where`` is the key that names it."""
    for entry in sorted(directory.iterdir()):
        if entry.exists() and not (entry.is_file() or entry.is_dir()):
            raise MftError(
                f"{where}: {entry} is a pipe, a device or a socket, not a file; replace or remove it"
            )
