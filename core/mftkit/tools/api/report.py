"""``mftkit.report``: pages about runs and comparisons, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.tools.api.compare import CompareResult
from mftkit.tools.api.run_result import RunResult
from mftkit.tools.compare.page import report_comparison
from mftkit.tools.compare.result import FILE
from mftkit.tools.report.writing import report_run, report_runs
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

Reported: TypeAlias = RunResult | CompareResult | str | Path
"""A run or a comparison: its result or its directory."""


def report(*results: Reported | Sequence[Reported], output: str | Path | None = None) -> Path:
    """Write the page of a run, of several runs side by side, or of a comparison, and return its path.

    Args:
        results: results of ``mftkit.run`` or ``mftkit.compare``, or directories; several may also be given as one list.
        output: the file to write; by default a page in the directory of the run. Required for several runs.

    Raises:
        MftError: a directory has no run, or the page cannot be written.
    """
    listed = [
        one
        for given in results
        for one in ([given] if isinstance(given, str | Path | RunResult | CompareResult) else given)
    ]
    paths = [Path(one) if isinstance(one, str | Path) else one.path for one in listed]
    target = None if output is None else Path(output)
    if not paths:
        raise MftError("report: give at least one run")
    if len(paths) == 1:
        write = report_comparison if (paths[0] / FILE).is_file() else report_run
        return write(paths[0], target)
    for path in paths:
        if (path / FILE).is_file():
            raise MftError(f"report: {path} holds a comparison, which has its own page; give it alone")
    if target is None:
        raise MftError('report: output is required for a page of several runs, such as output="report.html"')
    return report_runs(paths, target)
