"""The cache of prepared data, in which one process at a time makes an entry."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mftkit.base.atomic_files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.reporting.reporter import Reporter

CACHE_FULL_HINT = "free space, or set data.cache or MFT_CACHE to another directory"
"""How to fix a cache that cannot be written."""


def cache_root(configured: str | os.PathLike[str] | None) -> Path:
    """Return ``data.cache`` of the spec, otherwise $MFT_CACHE, otherwise mftkit's directory in the user's cache."""
    if chosen := configured or os.environ.get("MFT_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mftkit"


@contextmanager
def locked(target: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock on making ``target``; the system releases it if the process dies."""
    with disk_errors(target, CACHE_FULL_HINT):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{target}.lock")
        try:
            lock.acquire(timeout=1)
        except Timeout:
            reporter.note(f"waiting for another run that is preparing {target}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
