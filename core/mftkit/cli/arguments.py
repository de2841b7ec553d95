"""Arguments that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a JSON file.", show_default=False)]
AllowWeakIsolation = Annotated[
    bool,
    typer.Option(
        "--allow-weak-isolation",
        help="Run generated programs also where only limits of the kernel hold them in, and they can read your files.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="a.b=value",
        help="Change a key of the spec; the value is JSON, or else a string; paths are relative to SPEC. "
        "May be given many times.",
        show_default=False,
    ),
]


def allow_weak_isolation(allowed: bool) -> None:
    """Allow it for this command and the processes that it starts."""
    from mftkit.plugins.executors import WEAK

    if allowed:
        os.environ[WEAK] = "1"
