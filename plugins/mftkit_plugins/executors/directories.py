"""A program's directory for temporary files; those of processes that were killed are removed by the next one."""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit_plugins.executors.removal import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "mft-program-"
_FRESH = 60.0
"""Seconds in which a directory may not be locked yet."""


@contextmanager
def fresh_directory(user: int | None) -> Iterator[str]:
    """Make a directory, which this process locks and removes; ``user`` owns it, or this process's user."""
    _remove_abandoned()
    directory = tempfile.mkdtemp(prefix=_PREFIX)
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if user is not None:
            os.chown(directory, user, user)
        yield directory
    finally:
        with suppress(OSError):  # as where something outside of the program holds it
            remove(directory)
        os.close(lock)


@functools.cache
def _remove_abandoned() -> None:
    """Once per process: remove directories that nobody holds a lock of, because their process was killed."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # held, another user's, or removed by another process meanwhile
            state = place.lstat()
            if os.geteuid() in (0, state.st_uid) and time.time() - state.st_mtime > _FRESH:
                lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(str(place))
                finally:
                    os.close(lock)
