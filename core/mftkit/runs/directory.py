"""The run directory: its owner, its state and its content."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mftkit.base.atomic_files import new_directory, write_json
from mftkit.base.json_files import read_json_object
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.runs.base_checkpoint import BaseCheckpoint
from mftkit.runs.checkpoint import MANIFEST, CheckpointStore
from mftkit.runs.earlier_run import EarlierRun
from mftkit.runs.metrics_file import MetricsFile
from mftkit.runs.output_directory import OutputDirectory
from mftkit.spec.on_resuming import MEANINGS
from mftkit.spec.own_directory import followed, is_same_place
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.lines import EndLine
    from mftkit.reporting.plan import PlanJson
    from mftkit.runs.checkpoint import Manifest
    from mftkit.spec import Spec


BASE_KEY = "base_model_name_or_path"
"""Where PEFT's config of an adapter names its base."""
KEPT_METRICS = "metrics-[0-9]*.jsonl"
"""Metrics of earlier starts from step 0, numbered from 1. ``--fresh`` leaves them, so they are not among ``files``."""


class RunDirectory(OutputDirectory):
    """The output directory of a run, held by one process group at a time."""

    files = (
        "spec.json",
        "environment.json",
        "plan.json",
        "metrics.jsonl",
        "log.txt",
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
    allowed = frozenset(MEANINGS)

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.checkpoints = CheckpointStore(path / "checkpoints", self.check_in_place)
        self.metrics = MetricsFile(path / "metrics.jsonl", self.check_in_place)
        self.log = path / "log.txt"
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
        earlier = self.earlier_run(spec)
        return earlier is not None and earlier.is_finished

    def earlier_run(self, spec: Spec) -> EarlierRun | None:
        """The run that is here, of the same spec except for what may change; None if there is none.

        Raises:
            MftError: the directory holds another spec's run, or files of a run whose spec is missing.
        """
        before = self.spec_before()
        if before is None:
            # spec.json is written first: a kill before that leaves nothing worth keeping.
            if any((self.path / name).exists() for name in ("metrics.jsonl", "checkpoints", "model")):
                raise MftError(f"output: {self.path} holds files of a run but no spec.json; {self.hint}.")
            return None
        output, here = str(before.get("output", self.path)), str(self.path)
        moved = not is_same_place(output, here)
        if moved:
            before = followed(before, output, here)
        metrics = self.metrics.read()
        return EarlierRun(
            path=self.path,
            spec=before,
            changes=self.changes(before, spec),
            moved_from=output if moved else None,
            end=metrics.end,
            last_step=metrics.last_step,
        )

    def follow_move(self, before: str) -> None:
        """Make adapters name the base that moved with the run; ``before`` is where the run lay."""
        for file in [self.model / ADAPTER_CONFIG, *self.best.glob(f"*/{ADAPTER_CONFIG}")]:
            if file.is_file():
                config = read_json_object(file)
                if config.get(BASE_KEY) == str(Path(before) / self.base.name):
                    write_json(file, {**config, BASE_KEY: str(self.base)})

    def environment(self) -> JsonObject:
        """The content of environment.json; empty if it cannot be read."""
        try:
            return read_json_object(self.path / "environment.json")
        except (OSError, ValueError):
            return {}

    def resumptions(self) -> list[JsonObject]:
        """What environment.json has about each time that the run was resumed."""
        found = self.environment().get("resumed")
        return found if isinstance(found, list) else []

    def recorded(self, earlier: EarlierRun) -> Manifest:
        """What the newest checkpoint belongs to, without a look at its files; empty if there is nothing to resume."""
        for step in reversed(self.checkpoints.steps()):
            with suppress(OSError, ValueError):
                return cast("Manifest", read_json_object(self.checkpoints.path(step) / MANIFEST))
        if not earlier.is_complete:
            return {}
        began = {
            key: value for key, value in self.environment().items() if key in ("data", "content", "model")
        }
        return cast("Manifest", began)

    def keep_metrics(self) -> Path | None:
        """Move the metrics of a run that is to start again out of the way; None if it has made no step."""
        if not self.metrics.read().last_step:
            return None
        taken = [0, *(int(path.stem.rpartition("-")[2]) for path in self.path.glob(KEPT_METRICS))]
        kept = self.path / f"metrics-{max(taken) + 1}.jsonl"
        self.metrics.path.rename(kept)
        return kept

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
        """Write spec.json, environment.json and plan.json, which name the output and what else may change."""
        write_json(self.path / "spec.json", spec.dump())
        write_json(self.path / "environment.json", environment)
        write_json(self.path / "plan.json", plan)
