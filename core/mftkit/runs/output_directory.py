"""An output directory: held by one process at a time, and bound to the spec that it was made for."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from filelock import FileLock, Timeout

from mftkit.base.atomic_files import disk_errors
from mftkit.base.json_files import read_json_object
from mftkit.runs.spec_changes import changes_between
from mftkit.spec import load_spec
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.runs.spec_changes import Change
    from mftkit.spec import Spec
    from mftkit.spec.on_resuming import Rule

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
    allowed: ClassVar[frozenset[Rule]]
    """Rules of the keys of the spec that may differ from those that the directory was made for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock")
        self._is_new = False
        self._place: tuple[int, int] | None = None
        """Device and number of the directory that is held, while it is."""

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
        self._place = self._found()
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_new and error[0] is not None:
            self._remove_empty()
        self._place = None
        self._lock.release()

    def _found(self) -> tuple[int, int] | None:
        """Device and number of what is at the path now; None if there is nothing."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def check_in_place(self) -> None:
        """Raise MftError if the directory that is held was moved or removed: what is written would lack the rest."""
        if self._place is not None and self._found() != self._place:
            raise MftError(
                f"{self.key}: {self.path} was moved or removed while this {self.content} wrote to it. If it still "
                f"exists, move it back and run again, which resumes; otherwise choose another {self.key}."
            )

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
        before = self.spec_before()
        if before is not None:
            self.changes(before, spec)

    def spec_before(self) -> JsonObject | None:
        """The spec that the directory was made for, with the defaults of this version; None if there is none.

        Raises:
            MftError: the path is a file, or spec.json is damaged.
        """
        self._check_is_no_file()
        file = self.path / "spec.json"
        if not file.exists():
            return None
        try:
            return _with_defaults(read_json_object(file))
        except (OSError, ValueError) as error:
            raise MftError(f"{self.key}: {file} is damaged ({error}); {self.hint}.") from error

    def changes(self, before: JsonObject, spec: Spec) -> tuple[Change, ...]:
        """The keys that differ between the spec ``before`` and ``spec``, without ``output``: all may differ.

        Raises:
            MftError: others differ, too.
        """
        found = changes_between(_without_output(before), _without_output(spec.dump()))
        decisive = [change.key for change in found if change.rule not in self.allowed]
        if decisive:
            more = ", ..." if len(decisive) > MOST_SHOWN else ""
            free = [change.key for change in found if change.rule in self.allowed]
            may = f"; {', '.join(free[:MOST_SHOWN])} may differ" if free else ""
            raise MftError(
                f"{self.key}: {self.path} holds the {self.content} of another spec (differs in "
                f"{', '.join(decisive[:MOST_SHOWN])}{more}{may}); {self.hint}."
            )
        return tuple(found)

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


def _without_output(spec: JsonObject) -> JsonObject:
    """A directory that was moved is still the same."""
    return {key: value for key, value in spec.items() if key != "output"}


def _with_defaults(before: JsonObject) -> JsonObject:
    """A spec with the defaults of keys that an earlier version did not write; as it is where it cannot be read."""
    try:
        return load_spec(before).dump()
    except MftError:
        return before
