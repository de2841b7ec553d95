"""``mftkit.run``: from a spec to a result directory."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mftkit.interfaces.run_info import RunInfo
from mftkit.reporting.lines import EndLine
from mftkit.reporting.listener import FailureReport, Listeners
from mftkit.reporting.outcome import Outcome
from mftkit.reporting.reporter import Reporter
from mftkit.runs.checkpoint import Checkpoint, CheckpointError
from mftkit.runs.directory import RunDirectory
from mftkit.training.environment import describe_environment
from mftkit.training.events import HookCaller
from mftkit.training.export import export, export_best
from mftkit.training.loop import Trainer
from mftkit.training.setup import Assembly, assemble, draft
from mftkit.training.trackers import listening_trackers, make_trackers
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.interfaces.tracker import Tracker
    from mftkit.reporting.listener import Listener
    from mftkit.spec import Spec


def run(
    spec: Spec, *, dry_run: bool = False, fresh: bool = False, reporter: Reporter | None = None
) -> Outcome:
    """Train what the spec names, or go on with a run of the same spec that did not end.

    Args:
        spec: from ``mftkit.load_spec``.
        dry_run: read, check, tokenise and plan; the output directory is not touched.
        fresh: start over, removing the files of the run before.
        reporter: receives messages and progress.

    Raises:
        MftError: something the user can mend.
    """
    reporter = reporter or Reporter()
    directory = RunDirectory(spec.output)
    if dry_run:
        return _plan(spec, directory, reporter)
    directory.check_writable()
    if not fresh and directory.is_finished(spec):
        return _finished_before(directory, reporter)
    trackers = make_trackers(spec)  # a missing package is told before any work
    drafted = draft(spec, reporter)
    is_main = drafted.processes.is_main
    with directory if is_main else nullcontext():
        if is_main and not fresh and directory.is_finished(spec):  # since the first look, by another process
            raise MftError(f"output: {spec.output} was just finished by another process.")
        assembly = assemble(drafted, directory.base_place(fresh))
        reporter.planned(assembly.plan)
        return _train(assembly, directory, fresh, reporter, trackers if is_main else {})


def _plan(spec: Spec, directory: RunDirectory, reporter: Reporter) -> Outcome:
    try:
        directory.is_finished(spec)
    except MftError as error:
        reporter.warn(f"a run would be refused: {error}")
    make_trackers(spec)
    reporter.planned(assemble(draft(spec, reporter), weights=False).plan)
    return Outcome("planned", 0, None)


def _finished_before(directory: RunDirectory, reporter: Reporter) -> Outcome:
    end = directory.end()
    assert end is not None, "a finished run has an end line"
    reporter.note(
        f"{directory.path} holds this spec's finished run ({end.reason} at step {end.step}); --fresh starts over"
    )
    return Outcome(end.reason, end.step, end.best_step)


def _train(
    assembly: Assembly,
    directory: RunDirectory,
    fresh: bool,
    reporter: Reporter,
    trackers: dict[str, Tracker],
) -> Outcome:
    spec, processes = assembly.spec, assembly.processes
    tasks = tuple(task.name for task in spec.tasks)
    info = RunInfo(spec.name, spec.output, spec.dump(), tasks)
    failures = FailureReport(reporter.warn)
    plugins = [*listening_trackers(trackers, info), HookCaller(info, failures)] if processes.is_main else []
    listeners = Listeners(reporter, plugins, failures)
    trainer = Trainer(assembly, directory, listeners)
    start = _prepare(assembly, directory, fresh, reporter) if processes.is_main else None
    start = processes.from_main(start)
    if start is not None:
        trainer.resume(directory.checkpoints.read(start))
        reporter.note(f"going on from step {trainer.progress.step} of {assembly.steps.total}")
    listeners.started(trainer.progress.step)
    outcome = _guarded(trainer, assembly, directory, listeners, reporter)
    if processes.is_main:
        if outcome.is_complete:
            if not export(assembly, directory, outcome.best_step, reporter):
                outcome = replace(outcome, best_step=None)
            if assembly.best_per_task:
                export_best(assembly, directory, trainer.progress.standing, outcome.best_step, reporter)
        directory.metrics.write(EndLine.of(outcome))
        _report(directory, reporter)
    processes.from_main(None)  # the others stay until the result is written
    listeners.ended(outcome)
    reporter.show_result(directory.path, outcome)
    return outcome


def _prepare(assembly: Assembly, directory: RunDirectory, fresh: bool, reporter: Reporter) -> int | None:
    """Make the directory this spec's; the step to go on from, None to start at the beginning."""
    spec = assembly.spec
    if fresh:
        directory.start_over()
    step = _newest(directory, assembly, reporter)
    directory.describe(spec, describe_environment(assembly), assembly.plan.dump())
    directory.settle_base(assembly.own_base is not None)
    directory.metrics.cut(-1 if step is None else step)
    return step


def _newest(directory: RunDirectory, assembly: Assembly, reporter: Reporter) -> int | None:
    """The step of the newest checkpoint that is whole; damaged ones are told and put out of the way."""
    store = directory.checkpoints
    store.clear_partial()
    steps = store.steps()
    for number, step in enumerate(reversed(steps), start=1):
        try:
            checkpoint = store.read(step)
        except CheckpointError as error:
            left = (
                "going on from the one before it"
                if number < len(steps)
                else "there is no other: starting over"
            )
            reporter.warn(f"{error}; {left}")
            store.discard(step)
            continue
        _check_belongs(checkpoint, assembly, directory)
        return step
    return None


def _check_belongs(checkpoint: Checkpoint, assembly: Assembly, directory: RunDirectory) -> None:
    if checkpoint.manifest["data"] != assembly.corpus.fingerprint:
        raise MftError(
            f"output: the data has changed since {directory.path} was started, so its steps cannot be gone on with; "
            "restore the data, or use --fresh to start over."
        )
    if checkpoint.manifest.get("base") != assembly.own_base:
        raise MftError(
            f"output: the weights in {directory.base} are not those that {directory.path} was started with, and its "
            "adapter fits no others; restore them, or use --fresh to start over."
        )
    before, now = checkpoint.manifest["processes"], assembly.processes.count
    if before != now:
        raise MftError(
            f"output: {directory.path} was started with {before} processes, not {now}; use as many, or --fresh."
        )


def _guarded(
    trainer: Trainer, assembly: Assembly, directory: RunDirectory, listeners: Listener, reporter: Reporter
) -> Outcome:
    """Train; whatever goes wrong, the metrics file says so before the error goes on."""
    try:
        return trainer.train()
    except (torch.OutOfMemoryError, MemoryError) as error:
        message = (
            f"out of memory in step {trainer.progress.step + 1}: lower training.micro_batch_size or max_length, "
            f"or set training.gradient_checkpointing ({str(error).splitlines()[0] if str(error) else 'no details'})"
        )
        return Outcome("failed", trainer.progress.step, trainer.progress.best_step, error=message)
    except Exception as error:
        progress = trainer.progress
        message = f"{type(error).__name__}: {error}"
        outcome = Outcome("failed", progress.step, progress.best_step, error=message)
        with suppress(Exception):  # the error itself matters more than the line about it
            if assembly.processes.is_main:
                directory.metrics.write(EndLine.of(outcome))
                _report(directory, reporter)
            listeners.ended(outcome)
        raise


def _report(directory: RunDirectory, reporter: Reporter) -> None:
    """Write report.html; a page that cannot be made is told, and takes nothing from the run."""
    try:
        from mftkit.tools.report.writing import report_run  # plotly is loaded here, once the training is done

        report_run(directory.path)
    except Exception as error:
        what = str(error) if isinstance(error, MftError) else f"{type(error).__name__}: {error}"
        reporter.warn(f"report.html was not written, and the run is whole without it: {what}")
