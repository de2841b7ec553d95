"""Messages about the run that is there, before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.directory import RunDirectory
    from mftkit.runs.earlier_run import EarlierRun


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
        reporter.note(describe_move(earlier))
    if earlier.changes:
        reporter.note(f"changed since the run was started: {'; '.join(map(str, earlier.changes))}")


def describe_move(earlier: EarlierRun) -> str:
    """Where a moved run lay, and where it lies now."""
    return f"the run was moved: output: {earlier.moved_from} -> {earlier.path}"
