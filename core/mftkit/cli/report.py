"""``mft report``: a page about runs, at any time."""

from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.console import result


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
    from mftkit.report.writing import report_any

    result(str(report_any(runs, output)))
