"""``mft report``: a page about runs, at any time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.console import result
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run directories, finished or not, or the directory of one comparison.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="The page to write; required for several runs. [default: in the run's directory]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write an HTML page about one RUN or several.

    The page is one file that needs no network; several runs are shown side by side.
    """
    result(str(write_page(runs, output)))


def write_page(paths: "Sequence[Path]", output: Path | None = None) -> Path:
    """Write the page of a run, of several, or of a comparison, and return its path.

    Raises MftError for a directory without a run, and for several runs without an ``output``.
    """
    from mftkit.tools.compare.page import report_comparison
    from mftkit.tools.compare.result import FILE
    from mftkit.tools.report.writing import report_run, report_runs

    if output is not None and output.is_dir():
        raise MftError(f"--output: {output} is a directory; give the path of the file to write.")
    comparisons = [path for path in paths if (path / FILE).is_file()]
    if comparisons and len(paths) == 1:
        return report_comparison(paths[0], output)
    if comparisons:
        raise MftError(f"{comparisons[0]}: holds a comparison, which has its own page; give it alone.")
    if len(paths) == 1:
        return report_run(paths[0], output)
    if output is None:
        raise MftError("--output: required for a page of several runs, such as --output report.html")
    return report_runs(paths, output)
