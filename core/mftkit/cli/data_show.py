"""``mft data show``: what the model reads of a spec's data, or rows of data files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.arguments import AllowWeakIsolation, Overrides, allow_weak_isolation, hide_other_progress
from mftkit.cli.console import json_result, result, show_message, show_view
from mftkit.cli.data import AsJson, SkipBad, commands
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="SPEC|PATH",
        help="A spec; or data files, directories or glob patterns, as in tasks[].train.",
        show_default=False,
    ),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="For a spec: show this task only.", show_default=False),
]
Rows = Annotated[
    int, typer.Option("--rows", min=1, metavar="N", help="For a spec: number of data rows per task.")
]
Row = Annotated[
    str | None,
    typer.Option(
        "--row",
        metavar="K|PATH:LINE",
        help="For a spec: show this data row, by its number among the task's rows or by its place.",
        show_default=False,
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="For a spec: write an HTML page instead.", show_default=False
    ),
]
SampleRows = Annotated[int, typer.Option("--sample", min=1, metavar="N", help="For files: number of rows.")]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", help="For files: random seed for choosing the rows.")
]
FOR_SPEC = {"task": "--task", "rows": "--rows", "row": "--row", "html": "--html", "overrides": "--set"}
FOR_FILES = {"sample": "--sample", "seed": "--seed", "skip_bad": "--skip-bad"}
LARGEST_SPEC = 1 << 24
"""Bytes above which a file is data: it is not read as a spec to find out."""


@commands.command()
def show(
    context: typer.Context,
    paths: Paths,
    task: Task = None,
    rows: Rows = 2,
    row: Row = None,
    html: Page = None,
    overrides: Overrides = None,
    weak: AllowWeakIsolation = False,
    sample: SampleRows = 5,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Show what the model reads of SPEC's data, token by token; or print rows of data files.

    For a spec, the data is prepared as in a run, without the model's weights.
    """
    if not _is_spec(paths):
        _refuse(
            context, FOR_SPEC, f"only for a spec, an object with the keys tasks and model; {paths[0]} is none"
        )
        _show_files(paths, sample, seed, skip_bad=skip_bad, as_json=as_json)
        return
    _refuse(context, FOR_FILES, f"only for data files; {paths[0]} is a spec")
    if row is not None:
        _refuse(context, {"rows": "--rows"}, "not together with --row, which is one data row")
    if html is not None and html.is_dir():
        raise MftError(f"--html: {html} is a directory; give the path of the file to write.")
    allow_weak_isolation(weak)
    _show_spec(paths[0], overrides or (), (task, rows, row), html, as_json=as_json)


def _is_spec(paths: "Sequence[Path]") -> bool:
    """Return True for a single YAML file, or JSON file that holds an object with "tasks" and "model"."""
    from mftkit.spec.reading import is_yaml

    if len(paths) != 1 or not paths[0].is_file() or paths[0].stat().st_size > LARGEST_SPEC:
        return False
    if is_yaml(paths[0]):  # no format of data
        return True
    try:
        found = json.loads(paths[0].read_text("utf-8"))
    except ValueError:
        return False
    return isinstance(found, dict) and "tasks" in found and "model" in found


def _refuse(context: typer.Context, options: "Mapping[str, str]", why: str) -> None:
    """Raise MftError if any of these options was given."""
    given = [
        name
        for parameter, name in options.items()
        if (source := context.get_parameter_source(parameter)) and source.name != "DEFAULT"
    ]
    if given:
        raise MftError(f"{', '.join(given)}: {why}")


def _show_spec(
    path: Path,
    overrides: "Sequence[str]",
    chosen: tuple[str | None, int, str | None],
    html: Path | None,
    *,
    as_json: bool,
) -> None:
    from mftkit.spec import load_spec

    spec = load_spec(path, overrides)
    from mftkit.base.atomic_files import write_text
    from mftkit.display import console_reporter
    from mftkit.tools.data_show.build import data_view
    from mftkit.tools.data_show.choice import Request
    from mftkit.tools.data_show.collected import CollectedReports

    hide_other_progress()
    with console_reporter() as reporter:
        reports = CollectedReports(reporter)
        try:
            view = data_view(spec, path, Request(*chosen), reports)
        except BaseException:
            reports.show()
            raise
        if html is not None:
            reports.show()
    if html is not None:
        from mftkit.tools.data_show.page import page

        write_text(html, page(view))
    if as_json:
        json_result(asdict(view))
    elif html is not None:
        result(str(html))
    else:
        from mftkit.tools.data_show.terminal import terminal_view

        show_view(terminal_view(view))


def _show_files(paths: "Sequence[Path]", sample: int, seed: int, *, skip_bad: bool, as_json: bool) -> None:
    from mftkit.data.rows.row_texts import format_name
    from mftkit.tools.data_stats.rows import data_sources, iter_located_rows, sampled

    bad: list[str] = []
    rows = iter_located_rows(
        data_sources(paths, _warn), (lambda error: bad.append(str(error))) if skip_bad else None
    )
    drawn = sampled(rows, sample, seed)
    if bad:
        _warn(f"{len(bad)} bad rows skipped; the first: {bad[0]}")
    if as_json:
        located = [{"place": row.place, "format": format_name(row.row), "row": row.row} for row in drawn]
        json_result(located)
    else:
        from mftkit.tools.data_stats.terminal import rows_view

        show_view(rows_view(drawn))


def _warn(message: str) -> None:
    show_message(f"warning: {message}")
