"""The entries of the data cache: listed with their sizes, and removed when nobody makes them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KINDS = ("tokens", "generated", "filtered")
"""Directories of the cache; each directory in them is an entry."""
_FACTS = ("manifest.json",)
_REPLIES = "replies"
"""Replies of chat models to filters: paid for, and shared by all entries beside them."""


@dataclass(frozen=True)
class CacheEntry:
    """One entry."""

    kind: str
    path: Path
    task: str
    """Name of the task; empty where the entry does not say it."""
    rows: int | None
    size: int
    """Bytes on the disk."""
    used: float
    """When one of its files was last read or written, in seconds since the epoch."""


def entries(root: Path) -> list[CacheEntry]:
    """Return the entries of a cache, those used last first."""
    found = [
        _entry(kind, path)
        for kind in KINDS
        for path in sorted((root / kind).glob("[!.]*"))
        if path.is_dir() and path.name != _REPLIES
    ]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def to_prune(found: Sequence[CacheEntry], before: float | None, most: int | None) -> list[CacheEntry]:
    """Return the entries to remove: those not used since ``before``, and then the oldest beyond ``most`` bytes."""
    old = [entry for entry in found if before is not None and entry.used < before]
    kept = [entry for entry in found if entry not in old]
    total = sum(entry.size for entry in kept)
    while most is not None and kept and total > most:
        oldest = kept.pop()
        total -= oldest.size
        old.append(oldest)
    return old


def remove(entry: CacheEntry) -> bool:
    """Remove an entry; False if a running process is making it, which is left alone."""
    lock = FileLock(f"{entry.path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        # A kill in between leaves a hidden directory, which is no entry.
        gone = entry.path.with_name(f".{entry.path.name}.removed")
        shutil.rmtree(gone, ignore_errors=True)
        entry.path.rename(gone)
        shutil.rmtree(gone)
    finally:
        lock.release()
    return True


def _entry(kind: str, path: Path) -> CacheEntry:
    files = [file for file in path.rglob("*") if file.is_file()]
    stats = [file.stat() for file in files] or [path.stat()]
    # Listing reads the manifests, which is no use of the entry.
    used = [file.stat() for file in files if file.name not in _FACTS] or stats
    facts = [_facts(file) for file in files if file.name in _FACTS]
    counts = [rows for fact in facts if isinstance(rows := fact.get("rows"), int)]
    task = next((str(fact["task"]) for fact in facts if fact.get("task")), "")
    return CacheEntry(
        kind,
        path,
        task,
        sum(counts) if counts else None,
        sum(stat.st_size for stat in stats),
        max(max(stat.st_atime, stat.st_mtime) for stat in used),
    )


def _facts(file: Path) -> dict[str, object]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):  # a damaged entry is listed without its facts
        return {}
    return value if isinstance(value, dict) else {}
