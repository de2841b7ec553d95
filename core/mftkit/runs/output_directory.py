"""An output directory: held by one process at a time, and bound to the spec that it was made for."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from filelock import FileLock, Timeout

from mftkit.base.atomic_files import disk_errors
from mftkit.base.json_diff import differing_paths
from mftkit.base.json_files import read_json_object
from mftkit.spec import load_spec
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec

MOST_SHOWN = 6
"""Key paths that a message names; more are left out."""


class OutputDirectory:
    """A directory that a command writes; locked while entered."""

    files: ClassVar[tuple[str, ...]]
    """Everything that is written; ``--fresh`` removes these and nothing else."""
    content: ClassVar[str]
    """The content of the directory, for messages: "run" or "comparison"."""
    key: ClassVar[str]
    """The key or option that names the directory, for messages."""
    not_compared: ClassVar[tuple[str, ...]] = ()
    """Keys of the spec that may differ from those that the directory was made for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock")
        self._is_new = False

    @property
    def hint(self) -> str:
        """Advice for a directory that holds something else already."""
        return f"pass --fresh to start over, or choose another {self.key}"

    def __enter__(self) -> Self:
        self._is_new = not self.path.exists()
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise MftError(
                f"{self.key}: {self.path} is in use by another {self.content}; wait for it to end, or choose another "
                f"{self.key}."
            ) from None
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_new and error[0] is not None:
            self._remove_empty()
        self._lock.release()

    def _remove_empty(self) -> None:
        """Remove a directory into which nothing was written; the lock is held meanwhile, and none waits for it."""
        lock = Path(self._lock.lock_file)
        with suppress(OSError):
            if [entry.name for entry in self.path.iterdir()] == [lock.name]:
                lock.unlink()
                self.path.rmdir()

    def check_writable(self) -> None:
        """Refuse a place that cannot be written, before any work is done for it."""
        self._check_is_no_file()
        nearest = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
            raise MftError(
                f"{self.key}: cannot create {self.path}: {nearest} is not writable; choose another {self.key}."
            )

    def check_spec(self, spec: Spec) -> None:
        """Refuse a directory that was made for another spec.

        Raises:
            MftError: the path is a file, the directory was made for another spec, or its spec.json is damaged.
        """
        self._check_is_no_file()
        file = self.path / "spec.json"
        if not file.exists():
            return
        try:
            before = read_json_object(file)
        except (OSError, ValueError) as error:
            raise MftError(f"{self.key}: {file} is damaged ({error}); {self.hint}.") from error
        differing = sorted(
            differing_paths(self._compared(_with_defaults(before)), self._compared(spec.dump()))
        )
        if differing:
            more = ", ..." if len(differing) > MOST_SHOWN else ""
            raise MftError(
                f"{self.key}: {self.path} holds the {self.content} of another spec (differs in "
                f"{', '.join(differing[:MOST_SHOWN])}{more}); {self.hint}."
            )

    def start_over(self) -> None:
        """Remove everything that was written."""
        for name in self.files:
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def _check_is_no_file(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise MftError(f"{self.key}: {self.path} is a file; choose another {self.key}.")

    def _compared(self, spec: JsonObject) -> JsonObject:
        return {key: value for key, value in spec.items() if key not in self.not_compared}


def _with_defaults(before: JsonObject) -> JsonObject:
    """A spec with the defaults of keys that an earlier version did not write; as it is where it cannot be read."""
    try:
        return load_spec(before).dump()
    except MftError:
        return before
