"""``mft spec``: checks a spec, and prints the schema of specs."""

import json

import typer

from mftkit.cli.app import app
from mftkit.cli.arguments import Overrides, SpecFile
from mftkit.cli.console import result, show_message

commands = typer.Typer(help="Check specs.", no_args_is_help=True)
app.add_typer(commands, name="spec")


@commands.command()
def check(spec: SpecFile, overrides: Overrides = None) -> None:
    """Check SPEC without running anything."""
    from mftkit.spec import load_spec

    read = load_spec(spec, overrides or ())
    tasks = ", ".join(task.name for task in read.tasks)
    result(f"{spec}: no errors found: run {read.name}, tasks {tasks}, output {read.output}")


@commands.command()
def schema() -> None:
    """Print the JSON Schema of specs.

    It includes the options of every installed component.
    """
    from mftkit.spec.schema import json_schema

    schema = json_schema(lambda message: show_message(f"warning: {message}"))
    result(json.dumps(schema, indent=2, ensure_ascii=False))
