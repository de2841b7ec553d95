"""Chooses the display of a run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from mftkit.reporting.reporter import Reporter


def console_reporter(
    stream: TextIO | None = None, results: TextIO | None = None, *, dry_run: bool = False
) -> Reporter:
    """A reporter that draws if ``stream`` is a terminal, and writes plain lines otherwise.

    Use it in a ``with`` statement, or call ``close()``: both take down what is drawn.

    Args:
        stream: for messages and progress; standard error by default.
        results: for results; standard output by default.
        dry_run: the plan is the result, and no training follows it.
    """
    stream, results = stream or sys.stderr, results or sys.stdout
    if stream.isatty() and not _is_dumb():
        from mftkit.display.terminal import TerminalReporter

        return TerminalReporter(stream, results, dry_run=dry_run)
    from mftkit.display.plain import PlainReporter

    return PlainReporter(stream, results, dry_run=dry_run)


def _is_dumb() -> bool:
    """Return True if the terminal cannot move its cursor."""
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown", "")
