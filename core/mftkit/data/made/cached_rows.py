"""A cached stage of a task's rows: made once for what the rows depend on, then read like any file.

Generated rows and filtered rows are the two stages. Each keeps in a directory of the cache::

    rows.jsonl       complete or absent
    manifest.json    what the rows were made from, their size and checksum; written last
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import disk_errors, sync, temporary, write_text
from mftkit.base.checksums import fingerprint, verify_checksum, with_checksum
from mftkit.base.credentials import without_known_secrets
from mftkit.base.json_files import read_json_object
from mftkit.data.made.storage import CACHE_FULL_HINT, locked
from mftkit.data.rows.files import FileSource
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter


class CachedRows(ABC):
    """Rows of one stage: where they are kept, and when they have to be made."""

    def __init__(self, directory: Path, lock: Path, reporter: Reporter) -> None:
        """``lock``: the directory that only one process at a time may make; ``directory`` or one above it."""
        self.directory = directory
        self.reporter = reporter
        self._lock = lock

    @property
    def path(self) -> Path:
        """The file of rows."""
        return self.directory / "rows.jsonl"

    def source(self) -> FileSource:
        """Return the file of rows, which is made now unless it is complete. Raises MftError if that fails."""
        with locked(self._lock, self.reporter):
            if not self.is_complete():
                self.make()
        return FileSource(self.path)

    def is_complete(self) -> bool:
        """Return True if all rows were written and no budget stopped them early."""
        try:
            manifest = read_json_object(self.directory / "manifest.json")
            verify_checksum(manifest)
            written = [manifest["bytes"], manifest.get("crc32")]
            found = fingerprint(self.path) if written[1] is not None else [self.path.stat().st_size, None]
            if found != written:
                raise ValueError(f"the content of {self.path.name} is not the one that was written")
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.reporter.warn(
                f"the cache entry {self.directory} is damaged and will be made again ({error})"
            )
            return False
        return manifest.get("stopped") is None

    @abstractmethod
    def make(self) -> None:
        """Make the rows with ``write_rows``, then ``write_manifest``."""

    def write_rows(self, rows: Iterable[object], maker: str) -> int:
        """Write rows as they come and return how many; ``maker`` names the component in error messages."""
        partial, number = temporary(self.path), 0
        with disk_errors(self.path, CACHE_FULL_HINT):
            with partial.open("w", encoding="utf-8") as file:
                for number, row in enumerate(rows, 1):
                    file.write(_line(row, number, maker))
            sync(partial)
            partial.replace(self.path)
        return number

    def write_manifest(self, manifest: JsonObject) -> None:
        """Complete the rows; ``manifest`` is kept beside them, with the size and checksum by which damage is found."""
        size, crc = fingerprint(self.path)
        # As it will be on the disk: the checksum is of that.
        written = without_known_secrets(json.dumps({**manifest, "bytes": size, "crc32": crc}, default=str))
        text = json.dumps(with_checksum(json.loads(written)), indent=1, ensure_ascii=False)
        write_text(self.directory / "manifest.json", text, CACHE_FULL_HINT)


def digest(value: object, length: int) -> str:
    """Return the first ``length`` hexadecimal digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]


def _line(row: object, number: int, maker: str) -> str:
    try:
        line = json.dumps(row, ensure_ascii=False)
        line.encode()  # a lone surrogate is JSON, and cannot be written
    except (TypeError, ValueError) as error:
        raise MftError(f"{maker}: row {number} cannot be written as JSON: {error}") from error
    return line + "\n"
