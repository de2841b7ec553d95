"""``mft report``: a page about runs, at any time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.console import result
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run directories, finished or not; or one directory of mft compare.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="The page to write; needed for several runs. [default: in the run's directory]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a self-contained page of one RUN, or of several side by side."""
    result(str(write_page(runs, output)))


def write_page(paths: "Sequence[Path]", output: Path | None = None) -> Path:
    """Write the page of a run, of several, or of a comparison; where it lies.

    Raises MftError for what holds no run, and for several runs without an ``output``.
    """
    from mftkit.tools.compare.page import report_comparison
    from mftkit.tools.compare.page_views import COMPARISON
    from mftkit.tools.report.writing import report_run, report_runs

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
