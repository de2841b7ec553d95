"""What a run finds in its output directory: whether it resumes, from which checkpoint, and to which end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from mftkit.base.atomic_files import write_json
from mftkit.base.json_diff import differences
from mftkit.reporting.reporter import Reporter
from mftkit.runs.checkpoint import CheckpointError
from mftkit.runs.spec_changes import Change
from mftkit.training.environment import describe_environment
from mftkit.training.export import trained_tokenizer
from mftkit.training.schedule import Schedule, extend
from mftkit.training.used_plugins import report_changed_plugins
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.base.json_types import JsonObject
    from mftkit.batches.sampler import BatchSampler
    from mftkit.runs.checkpoint import Checkpoint, Manifest
    from mftkit.runs.directory import RunDirectory
    from mftkit.runs.earlier_run import EarlierRun
    from mftkit.training.run_parts import CheckedRun, Run
    from mftkit.training.schedule import Extension
    from mftkit.training.training_state import Progress


ENVIRONMENT = ("packages", "device", "dtype", "components")
"""Keys of environment.json that may affect numbers."""


@dataclass(frozen=True)
class Continuation:
    """How a run continues; the main process decides it for all."""

    manifest: Manifest
    """Of the checkpoint from which it continues."""
    schedule: Schedule
    extension: Extension | None
    """How the run's end has moved since the checkpoint; None if it has not."""
    stopped_early: bool = False
    """Whether early stopping had ended the run."""

    def messages(self, total: int) -> Iterator[str]:
        """Sentences about how the run of ``total`` steps continues."""
        yield f"resuming from step {self.manifest['step']} of {total}"
        if self.extension is not None:
            yield str(self.extension)
        if self.stopped_early:
            yield (
                "early stopping had ended the run; it continues, and the next validation ends it again unless it is "
                "the best so far (training.early_stopping may change)"
            )


def report_earlier_run(
    earlier: EarlierRun | None, directory: RunDirectory, fresh: bool, reporter: Reporter
) -> None:
    """Say, before any work is done, what differs from the run that is there, or why it starts again from step 0."""
    if fresh:
        metrics = directory.metrics.read()
        if metrics.last_step:
            state = f"{metrics.end.reason}, " if metrics.end else "not ended, "
            reporter.warn(
                f"--fresh: the run in {directory.path} ({state}{metrics.last_step} steps) is removed and starts again "
                "from step 0; its metrics are kept beside the new ones"
            )
        return
    if earlier is None:
        return
    report_changes(earlier, reporter)
    if earlier.last_step and not earlier.is_complete and not directory.checkpoints.steps():
        reporter.warn(
            f"no checkpoint was saved before step {earlier.last_step}, so the run in {directory.path} starts again "
            "from step 0; its metrics are kept beside the new ones"
        )


def report_changes(earlier: EarlierRun, reporter: Reporter) -> None:
    """Report where the run lay, and each key that has another value now."""
    if earlier.moved_from is not None:
        reporter.note(_move(earlier))
    if earlier.changes:
        reporter.note(f"changed since the run was started: {'; '.join(map(str, earlier.changes))}")


def _move(earlier: EarlierRun) -> str:
    return f"the run was moved: output: {earlier.moved_from} -> {earlier.path}"


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


def follow_move(earlier: EarlierRun, directory: RunDirectory, reporter: Reporter) -> None:
    """Report and record the new place of a moved run that has nothing left to train."""
    if earlier.moved_from is None:
        return
    reporter.note(_move(earlier))
    if os.environ.get("RANK", "0") == "0":
        with directory:
            directory.follow_move(earlier.moved_from)
            write_json(directory.path / "spec.json", earlier.spec)


def prepare_directory(
    built: Run, directory: RunDirectory, earlier: EarlierRun | None, fresh: bool, reporter: Reporter
) -> tuple[Checkpoint, Continuation] | None:
    """Make the directory this spec's; returns the checkpoint to resume from, None to start at the beginning.

    Nothing is changed before all that could be refused has been checked.
    """
    found = None
    if not fresh and (checkpoint := _newest_checkpoint(directory, earlier, reporter)) is not None:
        assert earlier is not None, "checkpoints without a spec are refused"
        check_inputs(checkpoint.manifest, earlier, directory, built.checked, Reporter())
        _check_own_base(checkpoint.manifest, built, directory)
        found = checkpoint, _continuation(checkpoint, built, directory, earlier)
    if found is None:
        _check_start(built)
        if (kept := directory.keep_metrics()) is not None:
            reporter.note(f"the metrics of the earlier start are kept in {kept}")
        if fresh:
            directory.start_over()
    environment = describe_environment(built)
    resumed: list[JsonObject] = []
    if found is not None:
        other = _environment_changes(directory, environment)
        if other:
            reporter.note(
                f"resuming in another environment, so the last digits may differ: {'; '.join(map(str, other))}"
            )
        report_changed_plugins(directory.path, environment["plugins"], reporter)
        resumed = [*directory.resumptions(), _resumption(found[1], earlier, other)]
    directory.describe(built.checked.spec, {**environment, "resumed": resumed}, built.plan.dump())
    directory.settle_base(built.own_base is not None)
    directory.write_tokenizer(trained_tokenizer(built.checked))
    if earlier is not None and earlier.moved_from is not None:
        directory.follow_move(earlier.moved_from)
    if found is None:
        directory.metrics.cut(-1)
    else:
        checkpoint, continuation = found
        meter = checkpoint.state["processes"][0]["meter"]
        stopped = earlier is not None and earlier.end is not None and earlier.end.stopped_by is not None
        reopened = (continuation.extension is not None or stopped) and meter["steps"] > 0
        directory.metrics.cut(checkpoint.manifest["step"], reopened=reopened)
    return found


def _environment_changes(directory: RunDirectory, now: JsonObject) -> list[Change]:
    """What differs between the environments of the last session and of this one, as far as it may affect numbers."""
    before = directory.environment()
    one, other = ({key: each.get(key) for key in ENVIRONMENT} for each in (before, now))
    found = (Change(each.path, each.one, each.other, None) for each in differences(one, other))
    return sorted((change for change in found if change.before is not None), key=lambda change: change.key)


def _check_start(built: Run) -> None:
    """Refuse to begin at step 0 without the weights to start from."""
    start = built.checked.start
    if start is not None and start.source is None:
        raise MftError(
            f"model.start_from: {start.weights} is not there any more, and the run has no checkpoint that can be read; "
            "set model.start_from to where the weights are now, and use --fresh to start over"
        )


def _resumption(
    continuation: Continuation, earlier: EarlierRun | None, environment: list[Change]
) -> JsonObject:
    """The entry of environment.json about this session."""
    changed = [] if earlier is None else [change.dump() for change in earlier.changes]
    if earlier is not None and earlier.moved_from is not None:
        changed.append({"key": "output", "before": earlier.moved_from, "now": str(earlier.path)})
    extension = continuation.extension
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": continuation.manifest["step"],
        "changed": changed,
        "environment": [change.dump() for change in environment],
        "extension": None if extension is None else extension.dump(),
    }


def _newest_checkpoint(
    directory: RunDirectory, earlier: EarlierRun | None, reporter: Reporter
) -> Checkpoint | None:
    """The newest checkpoint that is not damaged; damaged ones are reported and removed."""
    store = directory.checkpoints
    store.clear_partial()
    steps = store.steps()
    lost = max([*steps, earlier.last_step if earlier else 0])
    for number, step in enumerate(reversed(steps), start=1):
        try:
            return store.read(step)
        except CheckpointError as error:
            is_last = number == len(steps)
            if is_last and earlier is not None and earlier.is_complete:
                raise MftError(
                    f"output: {error}, and the finished run in {directory.path} has no other checkpoint, so it cannot "
                    "be extended. Start a new run from its result, or use --fresh to start over."
                ) from error
            left = (
                f"there is no other, so the run starts again from step 0, and {lost} steps are lost"
                if is_last
                else "resuming from the one before it"
            )
            reporter.warn(f"{error}; {left}")
            store.discard(step)
    return None


def check_inputs(
    recorded: Manifest, earlier: EarlierRun, directory: RunDirectory, checked: CheckedRun, reporter: Reporter
) -> None:
    """Refuse data, a base model and a number of processes other than those that the run began with.

    Data and base model may lie elsewhere now. ``recorded`` has what the run began with; what an earlier version did not
    record is not compared.
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
    processes, now = recorded.get("processes"), checked.processes.count
    if processes not in (None, now):
        raise MftError(
            f"output: {directory.path} was started with {processes} processes, not {now}. Use as many, or use --fresh "
            "to start over."
        )
    before, changed = recorded.get("model"), _changed(earlier, "model")
    if before is None or checked.base_content is None:
        if changed:
            reporter.warn(
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


def _check_own_base(manifest: Manifest, built: Run, directory: RunDirectory) -> None:
    if manifest.get("base") != built.own_base:
        raise MftError(
            f"output: the base weights in {directory.base} differ from those with which the run in {directory.path} "
            "started, so its adapter cannot be resumed. Restore them, or use --fresh to start over."
        )


def _changed(earlier: EarlierRun, rule: str) -> str:
    """The changed keys of a rule, for a message."""
    changes = [str(change) for change in earlier.changes if change.rule == rule]
    return f" (changed: {'; '.join(changes)})" if changes else ""


def _continuation(
    checkpoint: Checkpoint, built: Run, directory: RunDirectory, earlier: EarlierRun
) -> Continuation:
    training, sampler = built.checked.spec.training, built.checked.sampler
    progress = cast("Progress", checkpoint.state["progress"])
    total = progress.get("total") or _end_before(progress["step"], sampler, directory, earlier)
    kept = progress.get("schedule")
    schedule = Schedule.of(training, total) if kept is None else Schedule(kept["warmup"], kept["end"])
    if total == sampler.total:
        return Continuation(checkpoint.manifest, schedule, None)
    built.history.load_state_dict(progress["standing"])
    stopped_early = built.history.is_over
    if stopped_early and built.history.stopped_tasks:
        raise MftError(
            'training: early stopping with the criterion "each" has stopped every task of this run, so it cannot be '
            "extended. Start a new run from its result, or use --fresh to start over."
        )
    extension = extend(schedule, total, sampler.total, progress["step"], training)
    return Continuation(checkpoint.manifest, extension.schedule, extension, stopped_early)


def _end_before(step: int, sampler: BatchSampler, directory: RunDirectory, earlier: EarlierRun) -> int:
    """The end of a run whose checkpoint does not name it: one of the first versions has written it."""
    for entry in reversed(directory.resumptions()):
        if entry.get("extension") and entry.get("step") == step:
            return int(entry["extension"]["end_before"])
    training = earlier.spec["training"]
    return sampler.steps_of(training["epochs"], training["max_steps"])
