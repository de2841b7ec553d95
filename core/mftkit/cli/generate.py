"""``mft generate``: makes the training and validation rows that generators make."""

from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.arguments import AllowWeakIsolation, Overrides, SpecFile, allow_weak_isolation
from mftkit.cli.console import result
from mftkit.display import console_reporter


@app.command()
def generate(
    spec: SpecFile,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="NAME", help="Make only the rows of this task.", show_default=False),
    ] = None,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR_OR_FILE",
            help="Also write the rows as JSON Lines: NAME.jsonl in a directory, or one .jsonl file for one task.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of --output that exist.")] = False,
    weak: AllowWeakIsolation = False,
) -> None:
    """Make the training and validation rows of SPEC's tasks that have a generator."""
    from mftkit.data.made.exported import export, targets
    from mftkit.data.task_rows import generate_tasks, generated_names
    from mftkit.spec import load_spec

    allow_weak_isolation(weak)
    read = load_spec(spec, overrides or ())
    names = generated_names(read, task)
    files = {} if output is None else targets(names, output, force=force)  # refused before anything is made
    with console_reporter() as reporter:
        made = generate_tasks(read, task=task, reporter=reporter)
    if output is not None:
        for name, count in export(made, files).items():
            result(f"{name}: {files[name]} ({count} rows)")
        return
    for name, path in made.items():
        result(f"{name}: {path}")
