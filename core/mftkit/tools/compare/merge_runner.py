"""Makes the models of arms that are merged of others, and measures them as runs are measured."""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_json
from mftkit.base.json_files import read_json_object
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.runs.directory import RunDirectory
from mftkit.tools.compare.merge_record import FILE, MergeRecord, read_merge
from mftkit.tools.evaluate.evaluate import evaluate
from mftkit.tools.merging import merging
from mftkit.tools.merging.merging import ToMerge, merge_models
from mftkit.tools.merging.start import write_start
from mftkit.tools.validation_losses import validation_losses
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison, PlannedMerge


def merge_all(
    comparison: Comparison,
    directory: ComparisonDirectory,
    reporter: Reporter,
    after_each: Callable[[], object],
) -> None:
    """Make and measure every merged model that is not there; those of runs without a result are left out.

    Raises MftError, with the arm named, for models that cannot be merged or measured.
    """
    for merge in comparison.merges:
        lacking = [run.title for run in merge.runs if not RunDirectory(run.spec.output).is_finished(run.spec)]
        if lacking:
            reporter.warn(
                f"{merge.title}: not merged, because these runs have no result: {'; '.join(lacking)}"
            )
            continue
        directory.check_in_place()
        try:
            _make(merge, directory.merges / merge.key, reporter)
        except MftError as error:
            raise MftError(f"arm {merge.title}: {error}") from error
        after_each()


def _make(merge: PlannedMerge, place: Path, reporter: Reporter) -> None:
    assert merge.arm.merge is not None, "an arm that is not trained is merged"
    started = time.monotonic()
    given = ToMerge([run.spec.output for run in merge.runs], merge.arm.merge, merge.spec.seed)
    written = merge_models(given, place / "model", reporter, partial(write_start, merge.spec))
    identity = _identity(merge.spec, place / "model")
    before = read_merge(place)
    if before is not None and before.identity == identity:
        return
    reporter.note(f"{merge.title}: {'merged' if written else 'found merged'}, measuring")
    losses = validation_losses(merge.spec, place / "model", reporter)
    metrics: dict[str, JsonObject] = {}
    if tasks_to_evaluate(merge.spec):
        done = evaluate(merge.spec, place / "model", reporter, output=place / "evaluation")
        metrics = done.results.to_json()
    record = MergeRecord(
        identity, {task: each.loss for task, each in losses.items()}, metrics, time.monotonic() - started
    )
    write_json(place / FILE, record.to_json())


def _identity(spec: Spec, model: Path) -> str:
    """What the measured numbers depend on: the merged weights, and the spec."""
    dumped = spec.dump()
    parts = [read_json_object(model / merging.FILE), {key: dumped[key] for key in dumped if key != "output"}]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
