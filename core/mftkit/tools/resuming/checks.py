"""What is refused when a run is resumed: an end that is past, other data, another base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.batches.sampler import BatchSampler
    from mftkit.runs.checkpoint import Manifest
    from mftkit.runs.directory import RunDirectory
    from mftkit.runs.earlier_run import EarlierRun
    from mftkit.training.run_parts import CheckedRun


def check_end(earlier: EarlierRun, directory: RunDirectory, sampler: BatchSampler) -> bool:
    """Return False if the run that is there has reached its end already.

    Raises:
        MftError: it is past the end, or it cannot be extended.
    """
    if earlier.is_finished:
        return False
    steps = directory.checkpoints.steps()
    done = earlier.end.step if earlier.is_complete and earlier.end else max(steps, default=0)
    if sampler.total < done:
        keys = [change.key for change in earlier.changes if change.rule == "end"] or ["training.epochs"]
        raise MftError(
            f"{' and '.join(keys)}: the run in {directory.path} would end at step {sampler.total}, but it has made "
            f"{done} steps. Let it end at step {done} or later, or use --fresh to start over."
        )
    if not earlier.is_complete:
        return True
    if earlier.end is not None and earlier.end.reason == "finished" and sampler.total == done:
        return False
    if not steps:
        raise MftError(
            f"output: the run in {directory.path} has no checkpoint, so it cannot be extended. Start a new run from "
            "its result, or use --fresh to start over."
        )
    return True


def describe_next(earlier: EarlierRun, directory: RunDirectory, sampler: BatchSampler) -> str:
    """What a run would do, for a dry run. Raises MftError if it would be refused for its end."""
    if not check_end(earlier, directory, sampler):
        return f"{directory.path} holds this spec's finished run: nothing would be trained"
    steps = directory.checkpoints.steps()
    if not steps:
        return f"a run would start at step 0: {directory.path} has no checkpoint"
    return f"a run would resume from step {steps[-1]} and end at step {sampler.total}"


def check_inputs(
    recorded: Manifest, earlier: EarlierRun, directory: RunDirectory, checked: CheckedRun
) -> None:
    """Refuse data and a base model other than those that the run began with.

    Data and base model may lie elsewhere now. ``recorded`` has what the run began with; what an earlier version did not
    record is not compared, nor are weights on the hub, which may not have been loaded yet.
    """
    if (earlier.spec["model"].get("start_from") is None) != (checked.start is None):
        raise MftError(
            f"output: {directory.path} holds a run that did {'not ' if checked.start else ''}start from other weights "
            "(model.start_from, --from), so this is another run. Choose another output, or use --fresh to start over."
        )
    corpus, data = checked.corpus, recorded.get("data")
    if data not in (None, corpus.fingerprint) and recorded.get("content") != corpus.content:
        raise MftError(
            f"output: the training data changed since the run in {directory.path} started (or this version of mftkit "
            f"reads it differently), so it cannot be resumed{_changed(earlier, 'data')}. Restore the original data, or "
            "use --fresh to start over."
        )
    if checked.model.path is not None and Path(checked.model.path).is_dir():
        check_base_model(recorded, earlier, directory, checked)


def check_base_model(
    recorded: Manifest,
    earlier: EarlierRun,
    directory: RunDirectory,
    checked: CheckedRun,
    warn: Callable[[str], None] = lambda _: None,
) -> None:
    """Refuse another base model than the one that the run began with; ``warn`` of one that cannot be compared."""
    before, changed = recorded.get("model"), _changed(earlier, "model")
    if before is None or checked.base_content is None:
        if changed:
            warn(
                f"model.path: the run in {directory.path} has not recorded the content of the model with which it "
                f"started, so it is not compared{changed}"
            )
    elif before != checked.base_content:
        where = checked.model.path if checked.start is None else checked.start.weights
        raise MftError(
            f"model.path: the model in {where} differs from the one with which the run in "
            f"{directory.path} started, so it cannot be resumed{changed}. Set the original model, or use --fresh to "
            "start over."
        )


def _changed(earlier: EarlierRun, rule: str) -> str:
    """The changed keys of a rule, for a message."""
    changes = [str(change) for change in earlier.changes if change.rule == rule]
    return f" (changed: {'; '.join(changes)})" if changes else ""
