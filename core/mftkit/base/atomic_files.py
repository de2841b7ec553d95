"""Writing files that a crash leaves complete or absent: written beside the target, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.credentials import without_known_secrets
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE_SPACE = "free some space"
_REACHABLE = "make sure that its directory exists and can be written"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_DISKS = _NO_ROOM | {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
_OF_RUST = re.compile(r"os error (\d+)|Os \{ code: (\d+)")
"""The system's error number in the messages of safetensors and tokenizers."""
_OF_TORCH = ("PytorchStreamWriter", "file write failed", "enforce fail at inline_container")
"""torch.save does not pass the system's error on."""
_FULL, _FULL_OR_FAILING = "no space left on the disk", "the disk is full or failing"


class DiskFullError(MftError):
    """A disk without space: what was given to the command is valid, so that its exit code is another one."""

    exit_code = 1


def temporary(path: Path) -> Path:
    """The path at which ``path`` is written before it is renamed: hidden, in the same directory."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def disk_errors(path: Path, hint: str = FREE_SPACE) -> Iterator[None]:
    """Turn errors in writing ``path`` into one MftError; ``hint`` says how to fix them, by default by their kind.

    The errors that libraries raise on a full disk count too. Other errors pass unchanged: the block may also read other
    files.
    """
    try:
        yield
    except MftError:
        raise
    except Exception as error:
        reason = _disk_error(error, path)
        if reason is None:
            raise
        is_full = reason in (_FULL, _FULL_OR_FAILING)
        kind = DiskFullError if is_full else MftError
        hint = _REACHABLE if hint == FREE_SPACE and not is_full else hint
        raise kind(f"cannot write {path}: {reason}; {hint}, then run again.") from error


@contextmanager
def new_directory(path: Path, hint: str = FREE_SPACE) -> Iterator[Path]:
    """A directory to fill, which replaces ``path`` once it is complete on the disk.

    For one process at a time: what an earlier one left incomplete is removed. An error in the block leaves ``path``
    as it was. Raises MftError if the disk cannot be written.
    """
    with disk_errors(path, hint):
        try:
            partial = begin_directory(path)
            yield partial
            complete_directory(path)
        except BaseException:
            shutil.rmtree(temporary(path), ignore_errors=True)
            raise


def begin_directory(path: Path) -> Path:
    """An empty directory to fill in place of ``path`` until ``complete_directory``; an incomplete one is removed."""
    partial = temporary(path)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(_replaced(path), ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def complete_directory(path: Path) -> None:
    """Flush to the disk what was filled since ``begin_directory``, and rename it to ``path``."""
    partial, old = temporary(path), _replaced(path)
    for file in partial.rglob("*"):
        if file.is_file():  # some libraries make files private; the user's umask decides instead
            file.chmod(partial.stat().st_mode & 0o666)
        sync(file)
    sync(partial)
    if path.exists():
        path.rename(old)  # not removed in place: a kill would leave half of it under its name
    partial.rename(path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _replaced(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def write_text(path: Path, text: str, hint: str = FREE_SPACE) -> None:
    """Replace a file completely or not at all, without known secrets; raises MftError if the disk cannot be written."""
    text = without_known_secrets(text)
    partial = temporary(path)
    with disk_errors(path, hint):
        try:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # also valid JSON
            sync(partial)
            partial.replace(path)
        except BaseException:
            if partial.is_file():
                partial.unlink()
            raise
        sync(path.parent)


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file completely or not at all; raises MftError if the disk cannot be written."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_error(error: Exception, path: Path) -> str | None:
    """The reason why ``path`` cannot be written; None for an error that is not about writing it."""
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OF_TORCH):
        return _FULL_OR_FAILING
    number = None
    if isinstance(error, OSError):
        number = error.errno
    elif found := _OF_RUST.search(str(error)):
        number = int(found[1] or found[2])
    if number is None or not (_names(error, path) if _filename(error) else number in _OF_DISKS):
        return None
    return _FULL if number in _NO_ROOM else os.strerror(number)


def _filename(error: Exception) -> str | bytes | None:
    filename = getattr(error, "filename", None)
    return filename if isinstance(filename, str | bytes) else None


def _names(error: Exception, path: Path) -> bool:
    """Return True if the error names a file beside or within ``path``, or a directory above it."""
    failed, target = Path(os.fsdecode(_filename(error) or "")).absolute(), path.absolute()
    return failed.is_relative_to(target.parent) or target.is_relative_to(failed)
