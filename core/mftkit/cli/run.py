"""``mft run``: trains the model of a spec."""

import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from mftkit.base.importing import collector_paused
from mftkit.cli.app import app
from mftkit.cli.arguments import (
    AllowWeakIsolation,
    Overrides,
    SpecFile,
    allow_weak_isolation,
    hide_other_progress,
)
from mftkit.cli.exit_codes import SIGNALLED
from mftkit.display import console_reporter
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError


@app.command()
def run(
    spec: SpecFile,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, tokenize and print the plan, without training.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Start over, removing the run in the output directory but for its metrics."
        ),
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Train with N processes on this machine.")
    ] = 1,
    weak: AllowWeakIsolation = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="REF",
            help="Start a new run from other weights, with a fresh optimizer: a run directory, RUN@STEP, RUN@last, "
            "RUN@best, RUN@best:TASK, a directory with a model or a PEFT adapter, or a hub id. Sets model.start_from.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train what SPEC describes; resume its unfinished run, or extend it. SPEC may be a run directory, too."""
    from mftkit.base.launchers import find_launcher
    from mftkit.cli.launch import end_with_launcher
    from mftkit.spec import load_spec

    end_with_launcher()
    find_launcher()
    allow_weak_isolation(weak)
    if start_from is not None:
        overrides = [*(overrides or []), _start_override(start_from)]
    read = load_spec(spec, overrides or ())
    if processes > 1 and not dry_run:
        raise typer.Exit(_launch(spec, overrides or [], fresh, processes))
    with collector_paused():
        from mftkit.tools.run import run as train

    hide_other_progress()
    # Of several processes, only the first reports.
    shown = console_reporter(dry_run=dry_run) if os.environ.get("RANK", "0") == "0" else Reporter()
    with shown as reporter:
        outcome = train(read, dry_run=dry_run, fresh=fresh, reporter=reporter)
    if outcome.reason == "failed":
        raise typer.Exit(1)
    if outcome.reason == "interrupted":
        raise typer.Exit(SIGNALLED + (outcome.signal or signal.SIGTERM))


def _start_override(reference: str) -> str:
    """Return the override for ``--from``, whose paths are relative to the current directory, as others on the line."""
    from mftkit.spec.paths import reference_in

    return f"model.start_from={json.dumps(reference_in(reference, Path.cwd()))}"


def _launch(spec: Path, overrides: list[str], fresh: bool, processes: int) -> int:
    from mftkit.cli.launch import launch

    if "RANK" in os.environ:
        raise MftError(
            "--processes: this process was started by a launcher already (RANK is set); use one of the two"
        )
    arguments = ["run", str(spec), *(part for given in overrides for part in ("--set", given))]
    return launch([*arguments, "--fresh"] if fresh else arguments, processes)
