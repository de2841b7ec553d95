"""``mft spec``: checks a spec, and prints the schema of specs."""

from typing import Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.console import json_result, show_message
from mftkit.cli.spec_check import check

commands = typer.Typer(
    help="Check specs, write them, and translate configs of other toolkits.", no_args_is_help=True
)
app.add_typer(commands, name="spec")
commands.command()(check)


@commands.command()
def schema(
    built_in: Annotated[
        bool, typer.Option("--built-in", help="Leave out the components of other packages.")
    ] = False,
) -> None:
    """Print the JSON Schema of specs.

    It includes the options of every installed component.
    """
    from mftkit.spec.schema import json_schema

    schema = json_schema(lambda message: show_message(f"warning: {message}"), built_in=built_in)
    json_result(schema)
