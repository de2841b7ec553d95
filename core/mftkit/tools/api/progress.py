"""The display of what a call from Python does."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers.utils import logging

from mftkit.base.formatting import one_line
from mftkit.display.console import console_reporter
from mftkit.display.notebook import in_notebook, notebook_reporter
from mftkit.reporting.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator


class WarningsOnly(Reporter):
    """Prints warnings, one line each, and nothing else."""

    def warn(self, message: str) -> None:
        """One line on standard error."""
        sys.stderr.write(f"warning: {one_line(message)}\n")


@contextmanager
def shown(progress: bool, reporter: Reporter | None, *, dry_run: bool = False) -> Iterator[Reporter]:
    """The reporter of a call.

    ``reporter`` itself if there is one; else a display: in a notebook in the cell's output, on a terminal drawn in
    place, otherwise plain lines, all on standard error. Without ``progress``, warnings only. Of several processes, the
    first one reports. After the plan of a ``dry_run`` no training is expected.
    """
    if reporter is not None:
        yield reporter
        return
    with _own(progress, dry_run) as own, without_other_progress():
        yield own


def _own(progress: bool, dry_run: bool) -> Reporter:
    if os.environ.get("RANK", "0") != "0":
        return Reporter()
    if not progress:
        return WarningsOnly()
    if in_notebook():
        return notebook_reporter(dry_run=dry_run)
    return console_reporter(results=sys.stderr, dry_run=dry_run)


@contextmanager
def without_other_progress() -> Iterator[None]:
    """Turn off the progress bars of transformers, which would disturb ours."""
    before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if before:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
