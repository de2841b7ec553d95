"""Makes a directory a run's, and decides from which checkpoint it continues, and to which end."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from mftkit.base.atomic_files import write_json
from mftkit.runs.checkpoint import CheckpointError
from mftkit.runs.metrics_file import describe_damaged
from mftkit.tools.resuming.checks import check_base_model, check_inputs
from mftkit.tools.resuming.environment_changes import describe_environment_changes, environment_changes
from mftkit.tools.resuming.messages import describe_move
from mftkit.training.environment import describe_environment
from mftkit.training.export import trained_tokenizer
from mftkit.training.metrics_lines import rollback_line
from mftkit.training.run_state import RunState
from mftkit.training.schedule import RunSchedule, extend
from mftkit.training.used_plugins import report_changed_plugins
from mftkit.training.validation_history import Rollback
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.base.json_types import JsonObject
    from mftkit.batches.sampler import BatchSampler
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.checkpoint import Checkpoint, Manifest
    from mftkit.runs.directory import RunDirectory
    from mftkit.runs.earlier_run import EarlierRun
    from mftkit.runs.metrics_file import MetricsFile
    from mftkit.runs.spec_changes import Change
    from mftkit.training.run_parts import Run
    from mftkit.training.schedule import Extension
    from mftkit.training.training_state import Progress


@dataclass(frozen=True)
class Continuation:
    """How a run continues; the main process decides it for all."""

    manifest: Manifest
    """Of the checkpoint from which it continues."""
    schedule: RunSchedule
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


def follow_move(earlier: EarlierRun, directory: RunDirectory, reporter: Reporter) -> None:
    """Report and record the new place of a moved run that has nothing left to train."""
    if earlier.moved_from is None:
        return
    reporter.note(describe_move(earlier))
    if os.environ.get("RANK", "0") == "0":
        with directory:
            directory.follow_move(earlier.moved_from)
            write_json(directory.path / "spec.json", earlier.spec)


def newest_checkpoint(
    built: Run, directory: RunDirectory, earlier: EarlierRun | None, reporter: Reporter
) -> Checkpoint | None:
    """The newest checkpoint that is not damaged; damaged ones are reported and removed. All processes take part."""
    store, processes, state = directory.checkpoints, built.checked.processes, RunState(built)
    if processes.is_main:
        store.clear_partial()
    steps = processes.from_main(store.steps())
    lost = max([*steps, earlier.last_step if earlier else 0])
    for number, step in enumerate(reversed(steps), start=1):
        try:
            return state.read(store, step)
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
            if processes.is_main:
                store.discard(step)
    return None


def prepare_directory(
    built: Run,
    directory: RunDirectory,
    earlier: EarlierRun | None,
    fresh: bool,
    checkpoint: Checkpoint | None,
    reporter: Reporter,
) -> Continuation | None:
    """Make the directory this spec's; returns how the run continues from the checkpoint, None: from the beginning.

    Nothing is changed before all that could be refused has been checked.
    """
    continuation = None
    if checkpoint is not None:
        assert earlier is not None, "checkpoints without a spec are refused"
        check_inputs(checkpoint.manifest, earlier, directory, built.checked)
        check_base_model(checkpoint.manifest, earlier, directory, built.checked, reporter.warn)
        _check_own_base(checkpoint.manifest, built, directory)
        continuation = _continuation(checkpoint, built, directory, earlier)
    if continuation is None:
        _check_start(built)
        if (kept := directory.keep_metrics()) is not None:
            reporter.note(f"the metrics of the earlier start are kept in {kept}")
        if fresh:
            directory.start_over()
    environment = describe_environment(built)
    resumed: list[JsonObject] = []
    if continuation is not None:
        other = environment_changes(directory.environment(), environment)
        for sentence in describe_environment_changes(other, built.model):
            reporter.note(sentence)
        report_changed_plugins(directory.path, environment["plugins"], reporter)
        resumed = [*directory.resumptions(), _resumption(continuation, earlier, other)]
    directory.describe(built.checked.spec, {**environment, "resumed": resumed}, built.plan.dump())
    directory.settle_base(built.own_base is not None)
    directory.write_tokenizer(trained_tokenizer(built.checked))
    if earlier is not None and earlier.moved_from is not None:
        directory.follow_move(earlier.moved_from)
    if checkpoint is None or continuation is None:
        directory.metrics.cut(-1)
    else:
        stopped = earlier is not None and earlier.end is not None and earlier.end.stopped_by is not None
        reopens = continuation.extension is not None or stopped
        _continue_metrics(built, directory.metrics, checkpoint, reporter, reopens=reopens)
    return continuation


def _continue_metrics(
    built: Run, metrics: MetricsFile, checkpoint: Checkpoint, reporter: Reporter, *, reopens: bool
) -> None:
    """Leave in metrics.jsonl what was written up to a checkpoint; ``reopens``: its last window continues."""
    reopened = reopens and checkpoint.state["processes"][0]["meter"]["steps"] > 0
    rollbacks = _rollbacks(checkpoint)
    damaged = metrics.cut(checkpoint.manifest["step"], rollbacks=len(rollbacks), reopened=reopened)
    if damaged:
        reporter.warn(f"{describe_damaged(damaged)}; the report lacks their numbers")
    # The run was killed before it wrote the lines of these.
    for rollback in rollbacks[len(metrics.read().rollbacks) :]:
        metrics.write(rollback_line(rollback, built.deciding.task_names, rollback.to))


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


def _check_own_base(manifest: Manifest, built: Run, directory: RunDirectory) -> None:
    if manifest.get("base") != built.own_base:
        raise MftError(
            f"output: the base weights in {directory.base} differ from those with which the run in {directory.path} "
            "started, so its adapter cannot be resumed. Restore them, or use --fresh to start over."
        )


def _continuation(
    checkpoint: Checkpoint, built: Run, directory: RunDirectory, earlier: EarlierRun
) -> Continuation:
    training, sampler = built.checked.spec.training, built.checked.sampler
    progress = cast("Progress", checkpoint.state["progress"])
    total = progress.get("total") or _end_before(progress["step"], sampler, directory, earlier)
    kept = progress.get("schedule")
    schedule = RunSchedule.of(training, total)
    if kept is not None:
        schedule = replace(schedule, warmup=kept["warmup"], end=kept["end"])
    if total == sampler.total:
        return Continuation(checkpoint.manifest, schedule, None)
    built.history.load_state_dict(progress["standing"])
    if built.metric_history is not None and (metric := progress.get("metric")) is not None:
        built.metric_history.load_state_dict(metric)
    stopped_early = built.deciding.is_over
    if stopped_early and built.deciding.stopped_tasks:
        assert training.early_stopping is not None, "it has stopped tasks"
        raise MftError(
            f'training: early stopping with the criterion "{training.early_stopping.criterion}" has stopped every task '
            "of this run, so it cannot be "
            "extended. Start a new run from its result, or use --fresh to start over."
        )
    extension = extend(schedule, total, sampler.total, progress["step"], training)
    return Continuation(checkpoint.manifest, extension.schedule, extension, stopped_early)


def _rollbacks(checkpoint: Checkpoint) -> list[Rollback]:
    """The roll-backs before a checkpoint."""
    progress = cast("Progress", checkpoint.state["progress"])
    deciding = progress.get("metric") or progress["standing"]
    return [Rollback(*each) for each in deciding.get("rollbacks", [])]


def _end_before(step: int, sampler: BatchSampler, directory: RunDirectory, earlier: EarlierRun) -> int:
    """The end of a run whose checkpoint does not name it: one of the first versions has written it."""
    for entry in reversed(directory.resumptions()):
        if entry.get("extension") and entry.get("step") == step:
            return int(entry["extension"]["end_before"])
    training = earlier.spec["training"]
    return sampler.steps_of(training["epochs"], training["max_steps"])
