"""``mft convert``: write a checkpoint of a family that came with its own code in transformers' layout."""

from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.console import result
from mftkit.display import console_reporter


@app.command()
def convert(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A checkpoint: its directory or its hub id.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="The directory to write.", show_default=False)
    ],
    adapter: Annotated[
        str, typer.Option("--adapter", metavar="NAME", help="The model adapter that converts it.")
    ] = "auto",
) -> None:
    """Convert an old checkpoint to native layout.

    PATH is a checkpoint of a family that is converted on load. The output has transformers' own layout and a fast
    tokenizer.
    """
    from transformers.utils import logging

    from mftkit.tools.convert import convert as converted_into

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading the shards
    with console_reporter() as reporter:
        done = converted_into(path, output, reporter, adapter)
        reporter.note(
            f"largest difference of a logit before and after: {done.difference:.3g} "
            f"(largest logit: {done.largest:.3g})"
        )
    result(str(done.path))
