"""The run directory: whose it is, whether it can go on, and what lies in it."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from mftkit.base.atomic_files import disk_errors, write_json
from mftkit.runs.base_checkpoint import BaseCheckpoint
from mftkit.runs.checkpoint import CheckpointStore
from mftkit.runs.metrics_file import MetricsFile
from mftkit.spec import load_spec
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.reporting.lines import EndLine
    from mftkit.spec import Spec

RUN_FILES = (
    "spec.json",
    "environment.json",
    "plan.json",
    "metrics.jsonl",
    "report.html",
    "checkpoints",
    "base",
    "best",
    "model",
    "trackers",
)
"""All that a run writes; ``--fresh`` removes these and nothing else."""


class RunDirectory:
    """The output directory of a run, held by one process group at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = CheckpointStore(path / "checkpoints")
        self.metrics = MetricsFile(path / "metrics.jsonl")
        self.model = path / "model"
        self.best = path / "best"
        self.base, self._staged = path / "base", path / ".base"
        self._lock = FileLock(path / ".lock")
        self._made = False
        """Whether the directory was not there before."""

    def __enter__(self) -> Self:
        self._made = not self.path.exists()
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise MftError(
                f"output: {self.path} is in use by another run; wait for it or choose another output."
            ) from None
        return self

    def __exit__(self, *error: object) -> None:
        if self._made and error[0] is not None:
            self._leave_nothing()
        self._lock.release()

    def _leave_nothing(self) -> None:
        """Take away a directory in which a run never began; the lock is held meanwhile, and none waits for it."""
        lock = Path(self._lock.lock_file)
        with suppress(OSError):
            if [entry.name for entry in self.path.iterdir()] == [lock.name]:
                lock.unlink()
                self.path.rmdir()

    def end(self) -> EndLine | None:
        """The last line of a run that has ended, else None."""
        return self.metrics.read().end

    def is_finished(self, spec: Spec) -> bool:
        """Whether this spec's run is complete here.

        Raises:
            MftError: the directory holds another spec's run, or something else altogether.
        """
        self._refuse_foreign(spec)
        end = self.end()
        return end is not None and end.is_complete

    def check_writable(self) -> None:
        """Refuse a place that cannot be written, before any work is done for it."""
        if self.path.exists() and not self.path.is_dir():
            raise MftError(f"output: {self.path} is a file; choose another output.")
        nearest = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
            raise MftError(
                f"output: {self.path} cannot be made: {nearest} is not writable; choose another output."
            )

    def _refuse_foreign(self, spec: Spec) -> None:
        if not self.path.exists():
            return
        file = self.path / "spec.json"
        if not self.path.is_dir():
            raise MftError(f"output: {self.path} is a file; choose another output.")
        if not file.exists():
            # spec.json is written first: a kill before that leaves nothing worth keeping.
            if any((self.path / name).exists() for name in ("metrics.jsonl", "checkpoints", "model")):
                raise MftError(
                    f"output: {self.path} holds files of a run but no spec.json; "
                    "use --fresh to start over, or another output."
                )
            return
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            raise MftError(
                f"output: {file} is damaged; use --fresh to start over, or another output."
            ) from None
        differing = sorted(differences(_filled(before), spec.dump())) if isinstance(before, dict) else ["all"]
        if differing:
            raise MftError(
                f"output: {self.path} holds the run of another spec (differs in {', '.join(differing[:6])}"
                f"{', ...' if len(differing) > 6 else ''}); use --fresh to start over, or another output."
            )

    def base_place(self, fresh: bool) -> BaseCheckpoint:
        """Where a base of the run's own is kept; ``fresh``: the one that is there is the run's before."""
        return BaseCheckpoint(self.base, self._staged, kept=not fresh and self.base.is_dir())

    def settle_base(self, needed: bool) -> None:
        """Put a base that was written beside in its place; remove one that nothing needs."""
        if needed and self._staged.is_dir():
            self._staged.rename(self.base)
        elif self._staged.is_dir():
            shutil.rmtree(self._staged)

    def start_over(self) -> None:
        """Remove a run's files."""
        for name in RUN_FILES:
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def describe(self, spec: Spec, environment: dict[str, Any], plan: dict[str, Any]) -> None:
        """Write spec.json, environment.json and plan.json."""
        write_json(self.path / "spec.json", spec.dump())
        write_json(self.path / "environment.json", environment)
        write_json(self.path / "plan.json", plan)


def _filled(before: dict[str, Any]) -> dict[str, Any]:
    """A run's spec with the defaults of keys that it was written without, by an earlier version; as it is where this
    version cannot read it.
    """
    try:
        return load_spec(before).dump()
    except MftError:
        return before


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    """Key paths at which two JSON values differ.

    >>> sorted(differences({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 2], "d": 0}))
    ['a.b', 'd']
    """
    if isinstance(one, dict) and isinstance(other, dict):
        nothing = object()
        return set().union(
            *(
                differences(one.get(key, nothing), other.get(key, nothing), f"{path}.{key}" if path else key)
                for key in one.keys() | other.keys()
            )
        )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        return set().union(*(differences(a, b, f"{path}.{i}") for i, (a, b) in enumerate(pairs)))
    return set() if one == other else {path}
