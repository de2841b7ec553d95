"""``mft push``: a result to the Hugging Face Hub."""

import sys
from typing import Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.console import result
from mftkit.display import console_reporter

Result = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run directory, RUN@best:TASK, or a directory with a model or a PEFT adapter.",
        show_default=False,
    ),
]
Repository = Annotated[
    str,
    typer.Argument(
        metavar="REPO", help="The repository: USER/NAME or ORGANIZATION/NAME.", show_default=False
    ),
]
License = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="NAME",
        help="The license for the model card, such as apache-2.0. [default: as in the card]",
        show_default=False,
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision", metavar="BRANCH", help="The branch to push to. [default: main]", show_default=False
    ),
]
Message = Annotated[
    str | None,
    typer.Option("--message", metavar="TEXT", help="The message of the commit.", show_default=False),
]


@app.command()
def push(
    run: Result,
    repo: Repository,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    license_name: License = None,
    revision: Revision = None,
    message: Message = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Merge an adapter into its base, and push the whole model.")
    ] = False,
) -> None:
    """Push RUN's result to the Hugging Face Hub, with its model card.

    Only safetensors are pushed. The token is read from HF_TOKEN or from the login of the hf command, never from the
    command line.
    """
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # exported lazily

    from mftkit.cli.arguments import hide_other_progress
    from mftkit.tools.push.push import push as pushed

    hide_other_progress()
    if not sys.stderr.isatty():
        disable_progress_bars()
    with console_reporter() as reporter:
        done = pushed(
            run,
            repo,
            private=private,
            license=license_name,
            revision=revision,
            message=message,
            merged=merged,
            reporter=reporter,
        )
    result(done.url)
