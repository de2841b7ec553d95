"""``mft run``: trains what a spec names."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.arguments import AllowWeakIsolation, Overrides, SpecFile, allow_weak_isolation
from mftkit.display import console_reporter
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError

SIGNALLED = 128
"""A run that a signal stopped exits with this plus the signal's number."""


def run(
    spec: SpecFile,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, tokenise and print the plan; train nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over, removing the run that is in the output directory.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Train with N processes on this machine.")
    ] = 1,
    weak: AllowWeakIsolation = False,
) -> None:
    """Train what SPEC names; goes on with an unfinished run of the same spec."""
    from mftkit.spec import load_spec

    allow_weak_isolation(weak)
    read = load_spec(spec, overrides or ())
    if processes > 1 and not dry_run:
        raise typer.Exit(_launch(spec, overrides or [], fresh, processes))
    from transformers.utils import logging

    from mftkit.tools.run import run as train

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours is shown instead
    # Of several processes, the first tells for all.
    shown = console_reporter(dry_run=dry_run) if os.environ.get("RANK", "0") == "0" else Reporter()
    with shown as reporter:
        outcome = train(read, dry_run=dry_run, fresh=fresh, reporter=reporter)
    if outcome.reason == "failed":
        raise typer.Exit(1)
    if outcome.reason == "interrupted":
        raise typer.Exit(SIGNALLED + (outcome.signal or signal.SIGTERM))


def _launch(spec: Path, overrides: list[str], fresh: bool, processes: int) -> int:
    from mftkit.cli.launch import launch

    if "RANK" in os.environ:
        raise MftError(
            "--processes: this is one of several processes already (RANK is set): leave one of the two out"
        )
    arguments = ["run", str(spec), *(part for given in overrides for part in ("--set", given))]
    return launch([*arguments, "--fresh"] if fresh else arguments, processes)
