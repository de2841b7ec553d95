"""Writes a page: from directories to one file of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_text
from mftkit.pages.render import render
from mftkit.pages.tables import side_by_side
from mftkit.pages.verdict import verdict_on_several
from mftkit.pages.views import by_task, run_view
from mftkit.runs.record import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.runs.record import RunRecord

RUN_REPORT = "report.html"
TEMPLATES = Path(__file__).parent / "templates"


def report_run(path: Path, output: Path | None = None) -> Path:
    """Write the page of one run, by default into its directory, and return its path.

    Raises MftError if there is no run, or if the page cannot be written.
    """
    target = output or path / RUN_REPORT
    write_text(target, run_page(read_run(path)))
    return target


def report_runs(paths: Sequence[Path], output: Path) -> Path:
    """Write a page of several runs side by side. Raises MftError as ``report_run`` does."""
    runs = [read_run(path) for path in paths]
    names = _distinct_names(runs)
    views = [run_view(run, f"run-{number}") for number, run in enumerate(runs)]
    page = render(
        TEMPLATES,
        "several.html.jinja",
        title=", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more",
        runs=views,
        verdict=verdict_on_several(runs, names),
        results=side_by_side(runs, names),
        overlay=by_task(runs, names),
    )
    write_text(output, page)
    return output


def run_page(run: RunRecord) -> str:
    """The HTML of one run."""
    return render(TEMPLATES, "run.html.jinja", title=run.name, run=run_view(run, "run"), tasks=len(run.tasks))


def _distinct_names(runs: Sequence[RunRecord]) -> list[str]:
    """The runs' names; equal ones are followed by their paths."""
    names = [run.name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.path})"
        for name, run in zip(names, runs, strict=True)
    ]
