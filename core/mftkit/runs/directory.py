"""The run directory: its owner, its state and its content."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory, write_json
from mftkit.runs.base_checkpoint import BaseCheckpoint
from mftkit.runs.checkpoint import CheckpointStore
from mftkit.runs.metrics_file import MetricsFile
from mftkit.runs.output_directory import OutputDirectory
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import EndLine
    from mftkit.reporting.plan import PlanJson
    from mftkit.spec import Spec


class RunDirectory(OutputDirectory):
    """The output directory of a run, held by one process group at a time."""

    files = (
        "spec.json",
        "environment.json",
        "plan.json",
        "metrics.jsonl",
        "report.html",
        "checkpoints",
        "tokenizer",
        "base",
        "best",
        "model",
        "trackers",
    )
    content = "run"
    key = "output"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.checkpoints = CheckpointStore(path / "checkpoints")
        self.metrics = MetricsFile(path / "metrics.jsonl")
        self.model = path / "model"
        self.best = path / "best"
        self.tokenizer = path / "tokenizer"
        self.base, self._staged = path / "base", path / ".base"

    def end(self) -> EndLine | None:
        """The last line of a run that has ended, else None."""
        return self.metrics.read().end

    def is_finished(self, spec: Spec) -> bool:
        """Return True if this spec's run is complete here.

        Raises:
            MftError: the directory holds another spec's run, or something else altogether.
        """
        self.check_spec(spec)
        end = self.end()
        return end is not None and end.is_complete

    def check_spec(self, spec: Spec) -> None:
        """Refuse another spec's run, and files of a run whose spec is missing."""
        super().check_spec(spec)
        if (self.path / "spec.json").exists():
            return
        # spec.json is written first: a kill before that leaves nothing worth keeping.
        if any((self.path / name).exists() for name in ("metrics.jsonl", "checkpoints", "model")):
            raise MftError(f"output: {self.path} holds files of a run but no spec.json; {self.hint}.")

    def base_checkpoint(self, fresh: bool) -> BaseCheckpoint:
        """The place of the run's own base; with ``fresh``, the base that is there belongs to an earlier run."""
        return BaseCheckpoint(self.base, self._staged, kept=not fresh and self.base.is_dir())

    def settle_base(self, needed: bool) -> None:
        """Move a staged base into place; remove one that is not needed."""
        if needed and self._staged.is_dir():
            self._staged.rename(self.base)
        elif self._staged.is_dir():
            shutil.rmtree(self._staged)

    def write_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write the run's tokenizer, unless it is there: checkpoints can then be used before there is a result."""
        if not self.tokenizer.is_dir():
            with new_directory(self.tokenizer) as partial:
                tokenizer.save_pretrained(partial)

    def describe(self, spec: Spec, environment: JsonObject, plan: PlanJson) -> None:
        """Write spec.json, environment.json and plan.json."""
        write_json(self.path / "spec.json", spec.dump())
        write_json(self.path / "environment.json", environment)
        write_json(self.path / "plan.json", plan)
