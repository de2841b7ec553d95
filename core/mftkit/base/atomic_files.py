"""Writing that is whole or absent after a crash: written beside, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE_SPACE = "free space or mend the disk"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_DISKS = _NO_ROOM | {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
_OF_RUST = re.compile(r"os error (\d+)|Os \{ code: (\d+)")
"""The system's error number, as safetensors and tokenizers tell it within a message of their own."""
_OF_TORCH = ("PytorchStreamWriter", "file write failed", "enforce fail at inline_container")
"""torch.save keeps the system's error to itself."""


def temporary(path: Path) -> Path:
    """Where ``path`` is written before it is renamed: hidden, in the same directory."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def disk_errors(path: Path, way_out: str = FREE_SPACE) -> Iterator[None]:
    """Turn what is raised where ``path`` cannot be written into one message; ``way_out`` says what to do.

    What libraries make of a full disk counts too. Errors that are not of writing pass as they are: the
    block may also read other files.
    """
    try:
        yield
    except MftError:
        raise
    except Exception as error:
        said = _disk_said(error, path)
        if said is None:
            raise
        raise MftError(f"{path} cannot be written: {said}; {way_out}, then run again.") from error


@contextmanager
def new_directory(path: Path, way_out: str = FREE_SPACE) -> Iterator[Path]:
    """A directory to fill, which takes the place of ``path`` once it is complete on the disk.

    For one process at a time: what an earlier one left half made is removed. An error in the block leaves
    ``path`` as it was. Raises MftError where the disk cannot be written.
    """
    partial, old = temporary(path), path.with_name(f".{path.name}.old")
    with disk_errors(path, way_out):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            yield partial
            for file in partial.rglob("*"):
                if (
                    file.is_file()
                ):  # as readable as the user wants files to be: some libraries write for him alone
                    file.chmod(partial.stat().st_mode & 0o666)
                sync(file)
            sync(partial)
            if path.exists():
                path.rename(old)  # not removed in place: a kill would leave half of it under its name
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str, way_out: str = FREE_SPACE) -> None:
    """Replace a file, whole or not at all; raises MftError where the disk cannot be written."""
    partial = temporary(path)
    with disk_errors(path, way_out):
        try:
            partial.write_text(text, encoding="utf-8")
            sync(partial)
            partial.replace(path)
        except BaseException:
            if partial.is_file():
                partial.unlink()
            raise
        sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file, whole or not at all; raises MftError where the disk cannot be written."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_said(error: Exception, path: Path) -> str | None:
    """Why ``path`` cannot be written; None where the error is of something else."""
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OF_TORCH):
        return "the disk is full, or fails"
    number = None
    if isinstance(error, OSError):
        number = error.errno
    elif found := _OF_RUST.search(str(error)):
        number = int(found[1] or found[2])
    if number is None or not (_names(error, path) if _filename(error) else number in _OF_DISKS):
        return None
    return "no room left on the disk" if number in _NO_ROOM else os.strerror(number)


def _filename(error: Exception) -> str | bytes | None:
    named = getattr(error, "filename", None)
    return named if isinstance(named, str | bytes) else None


def _names(error: Exception, path: Path) -> bool:
    """Whether the error names a file beside or within ``path``, or a directory above it."""
    named, target = Path(os.fsdecode(_filename(error) or "")).absolute(), path.absolute()
    return named.is_relative_to(target.parent) or target.is_relative_to(named)
