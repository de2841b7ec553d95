"""The directory of a comparison: whose it is, what it remembers between two sittings."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from mftkit.base.atomic_files import disk_errors, write_json
from mftkit.runs.directory import differences
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.spec import Spec

RUN_FILES = ("spec.json", "state.json", "compare.json", "compare.html", "tokenizer", "runs")
"""All that a comparison writes; ``--fresh`` removes these and nothing else."""
HINT = "use --fresh to start over, or another --output"


class ComparisonDirectory:
    """The output of a comparison, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self.tokenizer = path / "tokenizer"
        self._lock = FileLock(path / ".lock")
        self._state: dict[str, Any] = {"data": None, "runs": {}}

    def __enter__(self) -> Self:
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise MftError(f"--output: {self.path} is in use by another comparison; wait for it.") from None
        return self

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def check(self, base: Spec, *, fresh: bool) -> None:
        """Refuse what is not this spec's comparison, before anything is written.

        Raises MftError for a place that cannot be written, another spec's comparison, or a run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise MftError(f"--output: {self.path} is a file; choose another.")
        nearest = next(parent for parent in (self.path, *self.path.parents) if parent.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise MftError(
                f"--output: {self.path} cannot be made: {nearest} is not writable; choose another."
            )
        if (self.path / "metrics.jsonl").exists():
            raise MftError(f"--output: {self.path} holds a run; choose another.")
        before = None if fresh else self._read("spec.json")
        if before is None:
            return
        differing = sorted(differences(_of_the_run(before), _of_the_run(base.dump())))
        if differing:
            more = ", ..." if len(differing) > 6 else ""
            raise MftError(
                f"--output: {self.path} holds the comparison of another spec (differs in "
                f"{', '.join(differing[:6])}{more}); {HINT}."
            )

    def begin(self, base: Spec, *, fresh: bool) -> None:
        """Make the directory this spec's."""
        if fresh:
            for name in RUN_FILES:
                entry = self.path / name
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)
        write_json(self.path / "spec.json", base.dump())
        self._state |= self._read("state.json") or {}

    def settle_data(self, fingerprint: str) -> None:
        """Remember the data; raises MftError where arms that are there were trained on other data."""
        if self._state["data"] not in (None, fingerprint):
            raise MftError(
                f"--output: the data has changed since {self.path} was started; restore it, or {HINT}."
            )
        self._state["data"] = fingerprint
        self._keep()

    def seconds(self, run: str) -> float:
        """Time that a run has taken so far, over all sittings."""
        return float(self._state["runs"].get(run, {}).get("seconds", 0.0))

    def sittings(self, run: str) -> int:
        """In how many sittings."""
        return int(self._state["runs"].get(run, {}).get("sittings", 0))

    def spent(self, run: str, seconds: float, sittings: int) -> None:
        """Remember the time of a run."""
        self._state["runs"][run] = {"seconds": round(seconds, 3), "sittings": sittings}
        self._keep()

    def _keep(self) -> None:
        write_json(self.path / "state.json", self._state)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise MftError(f"--output: {self.path / name} is damaged ({error}); {HINT}.") from error
        return value if isinstance(value, dict) else {}


def _of_the_run(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec without what a comparison does not take from it."""
    return {key: value for key, value in spec.items() if key != "output"}
