"""Removes a directory whatever a program has left in it."""

from __future__ import annotations

import os
from contextlib import suppress

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove(top: str) -> None:
    """Remove a directory with all that is in it; no process may change it meanwhile.

    Neither nesting nor missing permissions stop it: it walks by names relative to one open directory, so that no path
    gets long, without recursion and without a descriptor for each level. ``shutil.rmtree`` of Python 3.11 ends with
    RecursionError where 3,000 directories are inside one another.
    """
    here = _opened(top, None)
    waiting = [_emptied(here)]
    entered: list[str] = []
    try:
        while waiting:
            name = waiting[-1].pop() if waiting[-1] else None
            if name is None and not entered:
                break
            if name is None:
                waiting.pop()
                here = _moved(here, "..")
                os.rmdir(entered.pop(), dir_fd=here)
            else:
                here = _moved(here, name)
                entered.append(name)
                waiting.append(_emptied(here))
    finally:
        os.close(here)
    os.rmdir(top)  # noqa: PTH106


def _opened(name: str, parent: int | None) -> int:
    if name != "..":
        with suppress(OSError):  # it may be another user's, and readable all the same
            os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _moved(here: int, name: str) -> int:
    found = _opened(name, here)
    os.close(here)
    return found


def _emptied(directory: int) -> list[str]:
    """Remove the files of a directory, and return the names of the directories in it."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return found
