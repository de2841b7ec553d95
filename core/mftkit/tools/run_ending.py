"""The last line of a run's metrics, and its report, by the process that writes for all or, if it is lost, another."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from mftkit.reporting.lines import EndLine
from mftkit.tools.report.writing import RUN_REPORT, report_run
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.processes import Processes
    from mftkit.reporting.outcome import Outcome
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.failure_exchange import FailureExchange


def write_missing_report(directory: RunDirectory, reporter: Reporter) -> None:
    """Write the report of a run that has ended, if a kill came between its end line and its report."""
    if _has_report(directory):
        return
    with suppress(MftError), directory:  # another process may write it just now
        if not _has_report(directory):
            _write_report(directory, reporter)


def _has_report(directory: RunDirectory) -> bool:
    """Return True if there is a report of the whole run, not of an earlier session."""
    report = directory.path / RUN_REPORT
    return report.is_file() and report.stat().st_mtime >= directory.metrics.path.stat().st_mtime


def _write_report(directory: RunDirectory, reporter: Reporter) -> None:
    """Write report.html; a failure to do so is reported, and does not affect the run."""
    try:
        report_run(directory.path)
    except Exception as error:
        reason = str(error) if isinstance(error, MftError) else f"{type(error).__name__}: {error}"
        reporter.warn(f"could not write report.html (the run itself is complete): {reason}")


class Ending:
    """Writes the end of a run once, whichever thread or process notices it."""

    def __init__(
        self, directory: RunDirectory, processes: Processes, exchange: FailureExchange, reporter: Reporter
    ) -> None:
        self._directory, self._processes = directory, processes
        self._exchange, self._reporter = exchange, reporter
        self._writing = threading.Lock()
        self._is_written = False

    def write(self, outcome: Outcome) -> None:
        """Write the end line and report.html, unless that was done."""
        with self._writing:
            if self._is_written:
                return
            if self._processes.is_main:
                self._directory.metrics.write(EndLine.of(outcome))
                self._is_written = True
                _write_report(self._directory, self._reporter)
            elif self._exchange.main_is_lost:
                self._write_for_main(outcome)

    def show(self, outcome: Outcome) -> None:
        """Show it where the run is shown."""
        self._reporter.show_result(self._directory.path, outcome)

    def _write_for_main(self, outcome: Outcome) -> None:
        """Write for the main process, which was killed and so has left its lock; one of the others does it."""
        with suppress(MftError, OSError), self._directory:
            if self._directory.metrics.read().end is None:
                self._directory.metrics.write(EndLine.of(outcome))
                _write_report(self._directory, self._reporter)
        self._is_written = True
