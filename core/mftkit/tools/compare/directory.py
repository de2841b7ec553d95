"""The directory of a comparison: its owner, and its memory between two sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_json
from mftkit.base.json_files import read_json_object
from mftkit.runs.output_directory import OutputDirectory
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec


class ComparisonDirectory(OutputDirectory):
    """The output of a comparison, held by one process at a time."""

    files = ("spec.json", "state.json", "compare.json", "compare.html", "tokenizer", "runs", "merges")
    content = "comparison"
    key = "--output"
    allowed = frozenset({"free", "data"})

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.runs = path / "runs"
        self.merges = path / "merges"
        self.tokenizer = path / "tokenizer"
        self._state: JsonObject = {"data": None, "runs": {}}

    def check(self, base: Spec, *, fresh: bool) -> None:
        """Refuse what is not this spec's comparison, before anything is written.

        Raises MftError for a place that cannot be written, another spec's comparison, or a run.
        """
        self.check_writable()
        if (self.path / "metrics.jsonl").exists():
            raise MftError(f"--output: {self.path} holds a run; choose another --output.")
        if not fresh:
            self.check_spec(base)

    def begin(self, base: Spec, *, fresh: bool) -> None:
        """Make the directory this spec's."""
        if fresh:
            self.start_over()
        write_json(self.path / "spec.json", base.dump())
        file = self.path / "state.json"
        if not file.exists():
            return
        try:
            self._state |= read_json_object(file)
        except (OSError, ValueError) as error:
            raise MftError(f"--output: {file} is damaged ({error}); {self.hint}.") from error

    def record_data(self, fingerprint: str) -> None:
        """Remember the data; raises MftError if the runs that are there were trained on other data."""
        if self._state["data"] not in (None, fingerprint):
            raise MftError(
                f"--output: the training data has changed since {self.path} was started. Restore the original data, or "
                f"{self.hint}."
            )
        self._state["data"] = fingerprint
        self._save_state()

    def seconds(self, run: str) -> float:
        """Time that a run has taken so far, over all sessions."""
        return float(self._state["runs"].get(run, {}).get("seconds", 0.0))

    def sessions(self, run: str) -> int:
        """Number of sessions in which a run was trained."""
        return int(self._state["runs"].get(run, {}).get("sittings", 0))

    def record_time(self, run: str, seconds: float, sessions: int) -> None:
        """Remember the time of a run."""
        self._state["runs"][run] = {"seconds": round(seconds, 3), "sittings": sessions}
        self._save_state()

    def _save_state(self) -> None:
        self.check_in_place()
        write_json(self.path / "state.json", self._state)
