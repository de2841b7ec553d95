"""``mft plugins``: the installed components and their options."""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli import completion
from mftkit.cli.app import app
from mftkit.cli.console import result, table
from mftkit.cli.plugins_check import check
from mftkit.cli.plugins_list import print_plugins, select_plugins_of
from mftkit.cli.plugins_new import new
from mftkit_registry import find_kind

OfSpec = Annotated[
    Path | None,
    typer.Option("--spec", metavar="SPEC", help='With the plugins in "plugins" of SPEC.', show_default=False),
]
commands = typer.Typer(help="List, describe, check and write plugins.", no_args_is_help=True)
app.add_typer(commands, name="plugins")
commands.command()(new)
commands.command()(check)


@commands.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="K",
            help="Only components of this kind.",
            show_default=False,
            autocompletion=completion.kinds,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    spec: OfSpec = None,
) -> None:
    """List components and plugins, with their state.

    There is a row for each component, for each plugin's callbacks, and for each plugin that is not loaded.

    MFT_BLOCK_PLUGINS=name,... (names of entry points) blocks plugins: they are not imported.
    """
    print_plugins(kind, spec, as_json=as_json)


@commands.command()
def show(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="Kind of the component.", show_default=False, autocompletion=completion.kinds
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the component.",
            show_default=False,
            autocompletion=completion.components,
        ),
    ],
    spec: OfSpec = None,
) -> None:
    """Show the options of a component: types, defaults and help."""
    from mftkit.plugins import installed, kinds
    from mftkit.plugins.options import describe_options

    select_plugins_of(spec)
    registration = installed.registry().get(find_kind(kinds.KINDS, kind), name)
    found = installed.class_of(registration)
    result(f"{registration.kind} {registration.name}: {registration.summary}")
    result(f"from {registration.origin}")
    if text := inspect.cleandoc(found.__doc__ or ""):
        result(f"\n{text}")
    rows = describe_options(found.Options)
    result("")
    if rows:
        table(("option", "type", "default", "help"), rows)
    else:
        result("It has no options.")
