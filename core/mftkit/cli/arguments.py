"""Arguments that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

SpecFile = Annotated[
    Path, typer.Argument(metavar="SPEC", help="The spec, a JSON or YAML file.", show_default=False)
]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run directory, RUN@STEP, RUN@last, RUN@best, RUN@best:TASK, a directory with a model or a PEFT "
        "adapter, or a hub id. RUN alone is the result, or the newest checkpoint of an unfinished run.",
        show_default=False,
    ),
]
AllowWeakIsolation = Annotated[
    bool,
    typer.Option(
        "--allow-weak-isolation",
        help="Allow generated programs to run under kernel limits alone. They can then read your files.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="a.b=value",
        help="Change a key of the spec. The value is JSON, or else a string; paths are relative to SPEC. "
        "May be repeated.",
        show_default=False,
    ),
]


def allow_weak_isolation(allowed: bool) -> None:
    """Allow it for this command and the processes that it starts."""
    from mftkit.plugins.executors import WEAK

    if allowed:
        os.environ[WEAK] = "1"


def hide_other_progress() -> None:
    """Turn off the progress bars of transformers, which would disturb ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
