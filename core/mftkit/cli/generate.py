"""``mft generate``: makes the rows of tasks with a generator."""

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
    weak: AllowWeakIsolation = False,
) -> None:
    """Make the rows of SPEC's tasks that have a generator."""
    from mftkit.data.task_rows import generate_tasks
    from mftkit.spec import load_spec

    allow_weak_isolation(weak)
    with console_reporter() as reporter:
        made = generate_tasks(load_spec(spec, overrides or ()), task=task, reporter=reporter)
    for name, path in made.items():
        result(f"{name}: {path}")
