"""``mftkit.run``: from a spec to a result directory."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mftkit.display.run_log import LoggedReporter
from mftkit.interfaces.run_info import RunInfo
from mftkit.plugins.ownership import plugin_of_error
from mftkit.processes import Processes
from mftkit.reporting.listener import FailureReport, Listeners
from mftkit.reporting.outcome import Outcome
from mftkit.reporting.reporter import Reporter
from mftkit.runs.directory import RunDirectory
from mftkit.runs.earlier_defaults import with_earlier_defaults
from mftkit.spec.intervals import time_in_seconds
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.model_card.card import write_card
from mftkit.tools.plan.run_check import check_memory, with_fitting_engine, with_memory
from mftkit.tools.resuming.checks import check_end, check_inputs, describe_next
from mftkit.tools.resuming.directory import follow_move, newest_checkpoint, prepare_directory
from mftkit.tools.resuming.messages import report_changes, report_earlier_run
from mftkit.tools.run_ending import Ending, write_missing_report
from mftkit.training.callbacks import CallbackListener, check_callbacks, make_callbacks
from mftkit.training.events import HookCaller
from mftkit.training.export import write_results
from mftkit.training.failure_exchange import FailureExchange, Progress
from mftkit.training.loop import Trainer
from mftkit.training.setup import build_run, check_run, plan_run
from mftkit.training.signals import StopRequest
from mftkit.training.stop_requests import StopRequests
from mftkit.training.threads import threads_of
from mftkit.training.trackers import listening_trackers, make_trackers
from mftkit.training.used_plugins import plugins_line, used_plugins
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.interfaces.callback import Callback
    from mftkit.interfaces.tracker import Tracker
    from mftkit.reporting.listener import Listener
    from mftkit.reporting.plan import Plan
    from mftkit.runs.earlier_run import EarlierRun
    from mftkit.spec import Spec
    from mftkit.training.failure_hub import Failure
    from mftkit.training.run_parts import Run


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
    if dry_run:
        plan(spec, reporter, callbacks)
        return Outcome("planned", 0, None)
    logged = LoggedReporter(reporter)
    try:
        return _run(spec, fresh, logged, callbacks)
    except Exception as error:
        logged.failed(error)
        raise


def _run(spec: Spec, fresh: bool, reporter: LoggedReporter, callbacks: Sequence[Callback]) -> Outcome:
    directory = RunDirectory(spec.output)
    _check_plugins(spec, reporter, callbacks)
    directory.check_writable()
    if not fresh:
        spec = _with_earlier_defaults(spec, directory, reporter)
    earlier = None if fresh else directory.earlier_run(spec)
    if earlier is not None and earlier.is_finished and not earlier.changes_places:
        return _finished_before(earlier, directory, reporter)
    trackers = make_trackers(spec)  # a missing package is reported before any work is done
    report_earlier_run(earlier, directory, fresh, reporter)
    processes, watchdog = Processes(), spec.training.watchdog
    seconds = None if watchdog is None else time_in_seconds(watchdog)
    with FailureExchange(processes, reporter.warn, watchdog=seconds) as exchange:
        checked = check_run(spec, reporter, fresh=fresh, processes=processes)
        if earlier is not None:
            check_inputs(directory.recorded(earlier), earlier, directory, checked)
            if not check_end(earlier, directory, checked.sampler):
                return _finished_before(earlier, directory, reporter)
        is_main = processes.is_main
        called = make_callbacks(spec, callbacks, checked.corpus.tasks) if is_main else []
        with directory if is_main else nullcontext(), threads_of(checked, reporter):
            # Since the first look, by another process:
            if is_main and not fresh and directory.is_finished(spec):
                raise MftError(f"output: {spec.output} was just finished by another process.")
            checked = with_fitting_engine(checked, reporter)
            check_memory(checked)
            built = build_run(checked, directory.base_checkpoint(fresh), reporter)
            built = replace(built, plan=with_memory(built.plan, checked, built.model))
            reporter.planned(built.plan)
            used = trackers if is_main else {}
            return _train(built, directory, earlier, fresh, reporter, used, called, exchange)


@with_own_plugins
def plan(spec: Spec, reporter: Reporter, callbacks: Sequence[Callback] = ()) -> Plan:
    """Read, check, tokenize and plan; the output directory is not touched. Raises MftError as ``run`` does."""
    _check_plugins(spec, reporter, callbacks)
    directory = RunDirectory(spec.output)
    earlier = None
    try:
        spec = _with_earlier_defaults(spec, directory, reporter)
        earlier = directory.earlier_run(spec)
    except MftError as error:
        reporter.warn(f"a run would be refused: {error}")
    make_trackers(spec)
    checked = check_run(spec, reporter)
    make_callbacks(spec, callbacks, checked.corpus.tasks)
    if earlier is not None:
        report_changes(earlier, reporter)
        try:
            check_inputs(directory.recorded(earlier), earlier, directory, checked)
            reporter.note(describe_next(earlier, directory, checked.sampler))
        except MftError as error:
            reporter.warn(f"a run would be refused: {error}")
    planned = with_memory(plan_run(checked), checked)
    try:
        check_memory(checked)
    except MftError as error:
        reporter.warn(f"a run would be refused: {error}")
    reporter.planned(planned)
    return planned


def _with_earlier_defaults(spec: Spec, directory: RunDirectory, reporter: Reporter) -> Spec:
    spec, notes = with_earlier_defaults(spec, directory.spec_before())
    for note in notes:
        reporter.note(note)
    return spec


def _check_plugins(spec: Spec, reporter: Reporter, callbacks: Sequence[Callback]) -> None:
    """Name the plugins of other packages. Raises MftError for a callback that cannot be used."""
    if line := plugins_line(used_plugins(spec)):
        reporter.note(line)
    check_callbacks(spec, callbacks)


def _finished_before(earlier: EarlierRun, directory: RunDirectory, reporter: Reporter) -> Outcome:
    end = earlier.end
    assert end is not None, "a finished run has an end line"
    follow_move(earlier, directory, reporter)
    write_missing_report(directory, reporter)
    if earlier.changes:
        reporter.warn(f"no effect on a finished run: {'; '.join(map(str, earlier.changes))}")
    by = "" if end.stopped_by is None else f", stopped by {end.stopped_by}"
    hint = "" if end.stopped_by is None else "change its callbacks to continue it; "
    reporter.note(
        f"{directory.path} holds this spec's finished run ({end.reason} at step {end.step}{by}); {hint}raise "
        "training.epochs or training.max_steps to extend it; --fresh starts over"
    )
    return Outcome(end.reason, end.step, end.best_step, stopped_by=end.stopped_by)


def _train(
    built: Run,
    directory: RunDirectory,
    earlier: EarlierRun | None,
    fresh: bool,
    reporter: LoggedReporter,
    trackers: dict[str, Tracker],
    callbacks: Sequence[tuple[str, Callback]],
    exchange: FailureExchange,
) -> Outcome:
    spec, processes = built.checked.spec, built.checked.processes
    tasks = tuple(task.name for task in spec.tasks)
    info = RunInfo(spec.name, spec.output, spec.dump(), tasks)
    failures = FailureReport(reporter.warn)
    stops = StopRequests()
    plugins: list[Listener] = [Progress(exchange), *listening_trackers(trackers, info)]
    plugins += [CallbackListener(name, callback, info, stops) for name, callback in callbacks]
    if processes.is_main:
        plugins.append(HookCaller(info, failures, stops))
    listeners = Listeners(reporter, plugins, failures)
    trainer = Trainer(built, directory, listeners, stops)
    _resume(built, directory, earlier, fresh, trainer, reporter)
    listeners.started(trainer.step)
    ending = Ending(directory, processes, exchange, reporter)
    outcome = _train_guarded(trainer, listeners, ending, exchange)
    exchange.advance(outcome.step, is_over=True)
    # A signal to all processes reaches them one after another, and one may have stopped the others before; a launcher
    # sends one to those that are left after a failure.
    with nullcontext() if outcome.is_complete else StopRequest():
        if processes.is_main and outcome.is_complete:
            outcome = write_results(built, directory, outcome, reporter, write_card)
        ending.write(outcome)
        if not exchange.has_failed:
            # The others stay until the result is written and read back.
            written = processes.from_main(outcome)
            outcome = written if outcome.is_complete else outcome
        listeners.ended(outcome)
        reporter.show_result(directory.path, outcome)
    return outcome


def _resume(
    built: Run,
    directory: RunDirectory,
    earlier: EarlierRun | None,
    fresh: bool,
    trainer: Trainer,
    reporter: LoggedReporter,
) -> None:
    """Make the directory this run's, and restore the newest checkpoint; all processes take part."""
    processes, checkpoint, continuation = built.checked.processes, None, None
    if not fresh:
        checkpoint = newest_checkpoint(built, directory, earlier, reporter)
    if processes.is_main:
        continuation = prepare_directory(built, directory, earlier, fresh, checkpoint, reporter)
        reporter.file.open_at(directory.log)
    continuation = processes.from_main(continuation)
    if continuation is not None:
        assert checkpoint is not None, "a run continues from a checkpoint"
        trainer.resume(checkpoint, continuation.schedule, continuation.extension)
        for message in continuation.messages(built.checked.sampler.total):
            reporter.note(message)


def _train_guarded(
    trainer: Trainer, listener: Listener, ending: Ending, exchange: FailureExchange
) -> Outcome:
    """Train; whatever goes wrong, in any process, metrics.jsonl has an end line before the error is raised again."""

    def failed(step: int, message: str) -> Outcome:
        return Outcome("failed", step, trainer.history.best_step, error=message)

    def end_by_force(failure: Failure) -> None:
        outcome = failed(trainer.step, failure.text)
        ending.write(outcome)
        ending.show(outcome)

    exchange.on_forced_end = end_by_force
    try:
        return trainer.train()
    except (torch.OutOfMemoryError, MemoryError) as error:
        with StopRequest():  # a launcher may end this process by a signal before it has recorded why
            first = exchange.report(trainer.describe_out_of_memory(error))
        return failed(trainer.step + 1, first.text)
    except Exception as error:
        with StopRequest():
            first = exchange.report(describe_error(error), getattr(error, "exit_code", 1), error=error)
            outcome = failed(trainer.step, first.text)
            if first.rank != exchange.rank:  # its text says all; what was raised here is a consequence
                return outcome
            with suppress(Exception):  # the error itself matters more than the line about it
                ending.write(outcome)
                listener.ended(outcome)
        raise


def describe_error(error: Exception) -> str:
    """An error for metrics.jsonl, with the plugin that raised it; a MftError's text says what to fix by itself."""
    text = f"{type(error).__name__}: {error}"
    plugin = None if isinstance(error, MftError) else plugin_of_error(error)
    return f"plugin {plugin} failed: {text}" if plugin else text
