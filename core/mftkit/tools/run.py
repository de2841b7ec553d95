"""``mftkit.run``: from a spec to a result directory."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import torch

from mftkit.base.json_files import read_json_object
from mftkit.interfaces.run_info import RunInfo
from mftkit.plugins.ownership import plugin_of_error
from mftkit.reporting.lines import EndLine
from mftkit.reporting.listener import FailureReport, Listeners
from mftkit.reporting.outcome import Outcome
from mftkit.reporting.reporter import Reporter
from mftkit.runs.checkpoint import CheckpointError
from mftkit.runs.directory import RunDirectory
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.report.writing import report_run
from mftkit.training.callbacks import CallbackListener, check_callbacks, make_callbacks
from mftkit.training.environment import describe_environment
from mftkit.training.events import HookCaller
from mftkit.training.export import write_results
from mftkit.training.failures import describe_out_of_memory
from mftkit.training.loop import Trainer
from mftkit.training.setup import build_run, check_run, plan_run
from mftkit.training.stop_requests import StopRequests
from mftkit.training.trackers import listening_trackers, make_trackers
from mftkit.training.used_plugins import changed_plugins, plugins_line, used_plugins
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.interfaces.callback import Callback
    from mftkit.interfaces.tracker import Tracker
    from mftkit.reporting.listener import Listener
    from mftkit.reporting.plan import Plan
    from mftkit.runs.checkpoint import Checkpoint, Manifest
    from mftkit.spec import Spec
    from mftkit.training.run_parts import Run
    from mftkit.training.used_plugins import UsedPlugin


@with_own_plugins
def run(
    spec: Spec,
    *,
    dry_run: bool = False,
    fresh: bool = False,
    reporter: Reporter | None = None,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Train what the spec names, or resume an unfinished run of the same spec.

    Args:
        spec: from ``mftkit.load_spec``.
        dry_run: read, check, tokenize and plan; the output directory is not touched.
        fresh: start over, removing the files of the run before.
        reporter: receives messages and progress.
        callbacks: called like those that the spec names, after them.

    Raises:
        MftError: something that the user can fix.
    """
    reporter = reporter or Reporter()
    directory = RunDirectory(spec.output)
    if dry_run:
        plan(spec, reporter, callbacks)
        return Outcome("planned", 0, None)
    _check_plugins(spec, reporter, callbacks)
    directory.check_writable()
    if not fresh and directory.is_finished(spec):
        return _finished_before(directory, reporter)
    trackers = make_trackers(spec)  # a missing package is reported before any work is done
    checked = check_run(spec, reporter)
    is_main = checked.processes.is_main
    with directory if is_main else nullcontext():
        if is_main and not fresh and directory.is_finished(spec):  # since the first look, by another process
            raise MftError(f"output: {spec.output} was just finished by another process.")
        built = build_run(checked, directory.base_checkpoint(fresh))
        reporter.planned(built.plan)
        called = make_callbacks(spec, callbacks, checked.corpus.tasks) if is_main else []
        return _train(built, directory, fresh, reporter, trackers if is_main else {}, called)


@with_own_plugins
def plan(spec: Spec, reporter: Reporter, callbacks: Sequence[Callback] = ()) -> Plan:
    """Read, check, tokenize and plan; the output directory is not touched. Raises MftError as ``run`` does."""
    _check_plugins(spec, reporter, callbacks)
    try:
        RunDirectory(spec.output).is_finished(spec)
    except MftError as error:
        reporter.warn(f"a run would be refused: {error}")
    make_trackers(spec)
    planned = plan_run(check_run(spec, reporter))
    reporter.planned(planned)
    return planned


def _check_plugins(spec: Spec, reporter: Reporter, callbacks: Sequence[Callback]) -> None:
    """Name the plugins of other packages. Raises MftError for a callback that cannot be used."""
    if line := plugins_line(used_plugins(spec)):
        reporter.note(line)
    check_callbacks(spec, callbacks)


def _finished_before(directory: RunDirectory, reporter: Reporter) -> Outcome:
    end = directory.end()
    assert end is not None, "a finished run has an end line"
    by = f", stopped by {end.stopped_by}" if end.stopped_by else ""
    reporter.note(
        f"{directory.path} holds this spec's finished run ({end.reason} at step {end.step}{by}); --fresh starts over"
    )
    return Outcome(end.reason, end.step, end.best_step, stopped_by=end.stopped_by)


def _train(
    built: Run,
    directory: RunDirectory,
    fresh: bool,
    reporter: Reporter,
    trackers: dict[str, Tracker],
    callbacks: Sequence[tuple[str, Callback]],
) -> Outcome:
    spec, processes = built.checked.spec, built.checked.processes
    tasks = tuple(task.name for task in spec.tasks)
    info = RunInfo(spec.name, spec.output, spec.dump(), tasks)
    failures = FailureReport(reporter.warn)
    stops = StopRequests()
    plugins: list[Listener] = list(listening_trackers(trackers, info))
    plugins += [CallbackListener(name, callback, info, stops) for name, callback in callbacks]
    if processes.is_main:
        plugins.append(HookCaller(info, failures, stops))
    listeners = Listeners(reporter, plugins, failures)
    trainer = Trainer(built, directory, listeners, stops)
    checkpoint = _prepare_directory(built, directory, fresh, reporter) if processes.is_main else None
    manifest = processes.from_main(None if checkpoint is None else checkpoint.manifest)
    if manifest is not None:
        # The main process has verified and read it; the others read it without verifying it again.
        trainer.resume(checkpoint or directory.checkpoints.read(manifest["step"], manifest=manifest))
        del checkpoint
        reporter.note(f"resuming from step {trainer.step} of {built.checked.sampler.total}")
    listeners.started(trainer.step)
    outcome = _train_guarded(trainer, listeners, directory if processes.is_main else None, reporter)
    if processes.is_main:
        if outcome.is_complete:
            outcome = write_results(built, directory, outcome, reporter)
        directory.metrics.write(EndLine.of(outcome))
        _write_report(directory, reporter)
    written = processes.from_main(outcome)  # the others stay until the result is written and read back
    outcome = written if outcome.is_complete else outcome
    listeners.ended(outcome)
    reporter.show_result(directory.path, outcome)
    return outcome


def _prepare_directory(
    built: Run, directory: RunDirectory, fresh: bool, reporter: Reporter
) -> Checkpoint | None:
    """Make the directory this spec's; returns the checkpoint to resume from, None to start at the beginning."""
    if fresh:
        directory.start_over()
    checkpoint = _newest_checkpoint(directory, reporter)
    environment = describe_environment(built)
    if checkpoint is not None:
        _check_belongs(checkpoint.manifest, built, directory)
        _report_changed_plugins(directory, environment["plugins"], reporter)
    directory.describe(built.checked.spec, environment, built.plan.dump())
    directory.settle_base(built.own_base is not None)
    directory.metrics.cut(-1 if checkpoint is None else checkpoint.manifest["step"])
    return checkpoint


def _report_changed_plugins(directory: RunDirectory, now: list[UsedPlugin], reporter: Reporter) -> None:
    """Warn of plugins that are not those with which the run started: its steps are then made by other code."""
    try:
        before = read_json_object(directory.path / "environment.json").get("plugins")
    except (OSError, ValueError):
        return
    if before is None:  # written by an earlier version
        return
    changes = changed_plugins(before, now)
    if changes:
        reporter.warn(
            f"plugins changed since the run in {directory.path} started: {'; '.join(changes)}. The steps so far were "
            "made with the old ones; --fresh starts over."
        )


def _newest_checkpoint(directory: RunDirectory, reporter: Reporter) -> Checkpoint | None:
    """The newest checkpoint that is not damaged; damaged ones are reported and removed."""
    store = directory.checkpoints
    store.clear_partial()
    steps = store.steps()
    for number, step in enumerate(reversed(steps), start=1):
        try:
            return store.read(step)
        except CheckpointError as error:
            left = (
                "resuming from the one before it"
                if number < len(steps)
                else "there is no other, so the run starts over"
            )
            reporter.warn(f"{error}; {left}")
            store.discard(step)
    return None


def _check_belongs(manifest: Manifest, built: Run, directory: RunDirectory) -> None:
    if manifest["data"] != built.checked.corpus.fingerprint:
        raise MftError(
            f"output: the training data changed since the run in {directory.path} started (or this version of mftkit "
            "reads it differently), so it cannot be resumed. Restore the original data, or use --fresh to start over."
        )
    if manifest.get("base") != built.own_base:
        raise MftError(
            f"output: the base weights in {directory.base} differ from those with which the run in {directory.path} "
            "started, so its adapter cannot be resumed. Restore them, or use --fresh to start over."
        )
    before, now = manifest["processes"], built.checked.processes.count
    if before != now:
        raise MftError(
            f"output: {directory.path} was started with {before} processes, not {now}. Use as many, or use --fresh to "
            "start over."
        )


def _train_guarded(
    trainer: Trainer, listener: Listener, directory: RunDirectory | None, reporter: Reporter
) -> Outcome:
    """Train; whatever goes wrong, metrics.jsonl has an end line before the error is raised again.

    ``directory`` is None in all processes but the main one, which writes for all.
    """
    try:
        return trainer.train()
    except (torch.OutOfMemoryError, MemoryError) as error:
        message = describe_out_of_memory(error, trainer.step + 1)
        return Outcome("failed", trainer.step, trainer.history.best_step, error=message)
    except Exception as error:
        message = describe_error(error)
        outcome = Outcome("failed", trainer.step, trainer.history.best_step, error=message)
        with suppress(Exception):  # the error itself matters more than the line about it
            if directory is not None:
                directory.metrics.write(EndLine.of(outcome))
                _write_report(directory, reporter)
            listener.ended(outcome)
        raise


def describe_error(error: Exception) -> str:
    """An error for metrics.jsonl, with the plugin that raised it; a MftError's text says what to fix by itself."""
    text = f"{type(error).__name__}: {error}"
    plugin = None if isinstance(error, MftError) else plugin_of_error(error)
    return f"plugin {plugin} failed: {text}" if plugin else text


def _write_report(directory: RunDirectory, reporter: Reporter) -> None:
    """Write report.html; a failure to do so is reported, and does not affect the run."""
    try:
        report_run(directory.path)
    except Exception as error:
        reason = str(error) if isinstance(error, MftError) else f"{type(error).__name__}: {error}"
        reporter.warn(f"could not write report.html (the run itself is complete): {reason}")
