"""Writes a page: from directories to one file of HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.files import write_text
from mftkit.report.comparison import COMPARISON, comparison_values
from mftkit.report.reading import read_run
from mftkit.report.tables import side_by_side
from mftkit.report.views import by_task, run_view
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from mftkit.report.reading import RunRecord

RUN_REPORT = "report.html"
COMPARISON_REPORT = "compare.html"
TEMPLATES = Path(__file__).parent / "templates"


def report_any(paths: Sequence[Path], output: Path | None = None) -> Path:
    """Write the page of a run, of several, or of a comparison; where it lies.

    Raises MftError for what holds no run, and for several runs without an ``output``.
    """
    if output is not None and output.is_dir():
        raise MftError(f"--output: {output} is a directory; give the file to write.")
    comparisons = [path for path in paths if (path / COMPARISON).is_file()]
    if comparisons and len(paths) == 1:
        return report_comparison(paths[0], output)
    if comparisons:
        raise MftError(f"{comparisons[0]}: holds a comparison, which is shown by itself; give it alone.")
    if len(paths) == 1:
        return report_run(paths[0], output)
    if output is None:
        raise MftError("--output: is needed where several runs share a page, as in --output report.html")
    return report_runs(paths, output)


def report_run(path: Path, output: Path | None = None) -> Path:
    """Write the page of one run, by default into its directory; where it lies.

    Raises MftError where there is no run, or where the page cannot be written.
    """
    target = output or path / RUN_REPORT
    write_text(target, run_page(read_run(path)))
    return target


def report_runs(paths: Sequence[Path], output: Path) -> Path:
    """Write a page of several runs side by side. Raises MftError as ``report_run`` does."""
    runs = [read_run(path) for path in paths]
    names = _told_apart(runs)
    views = [run_view(run, f"run-{number}") for number, run in enumerate(runs)]
    page = render(
        "several.html.jinja",
        title=", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more",
        runs=views,
        results=side_by_side(runs, names),
        overlay=by_task(runs, names),
    )
    write_text(output, page)
    return output


def report_comparison(path: Path, output: Path | None = None) -> Path:
    """Write the page of a comparison, by default into its directory. Raises MftError where it is damaged."""
    target = output or path / COMPARISON_REPORT
    write_text(target, render("comparison.html.jinja", **comparison_values(path, target.absolute().parent)))
    return target


def run_page(run: RunRecord) -> str:
    """The HTML of one run."""
    return render("run.html.jinja", title=run.name, run=run_view(run, "run"), tasks=len(run.tasks))


def render(template: str, **values: Any) -> str:
    """A page from its template; every value is escaped but what is marked safe there."""
    from plotly.offline import get_plotlyjs

    return (
        _templates()
        .get_template(template)
        .render(
            **values,
            plotly_js=get_plotlyjs(),
            version=version("mftkit"),
            now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _told_apart(runs: Sequence[RunRecord]) -> list[str]:
    """The runs' names, with as much of their paths as tells equal ones apart."""
    names = [run.name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.path})"
        for name, run in zip(names, runs, strict=True)
    ]
