"""``mft merge``: merge an adapter into its base."""

from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.arguments import Reference
from mftkit.cli.console import result
from mftkit.display import console_reporter


@app.command()
def merge(
    run: Reference,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="The directory to write.", show_default=False)
    ],
) -> None:
    """Merge RUN's adapter into its base model.

    The base has full precision, and the output is a plain transformers checkpoint.
    """
    from transformers.utils import logging

    from mftkit.tools.merge import merge as merged_into

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading the shards
    with console_reporter() as reporter:
        merged = merged_into(run, output, reporter)
        reporter.note(
            f"largest difference of a logit before and after: {merged.difference:.3g} "
            f"(largest logit: {merged.largest:.3g})"
        )
    result(str(merged.path))
