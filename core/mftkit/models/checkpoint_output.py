"""Check the directory that a tool is to write a checkpoint to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def check_output(output: Path, read_only: Iterable[Path]) -> None:
    """Raise MftError if ``output`` has something in it, or is inside a directory that must not change."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise MftError(f"--output: {output} exists and is not empty; give another directory")
    for directory in read_only:
        if output.is_relative_to(directory.resolve()):
            raise MftError(
                f"--output: {output} is inside {directory}, which must not change; give another directory"
            )
