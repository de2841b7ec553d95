"""``mft plugins``: the installed components and their options."""

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli import completion
from mftkit.cli.app import app
from mftkit.cli.console import json_result, result, show_message, table
from mftkit.cli.plugins_check import check
from mftkit.cli.plugins_new import new
from mftkit_registry import find_kind

if TYPE_CHECKING:
    from mftkit_registry import PluginRecord

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
    from mftkit.plugins.process_registry import registry

    _select_plugins_of(spec)
    rows = registry().plugins
    if kind is not None:
        kind_name = registry().kind(kind).name
        hidden = [row.name for row in rows if row.status in ("blocked", "error")]
        if hidden:
            show_message(
                f"note: not loaded, so their kind is unknown: {', '.join(hidden)}; see mft plugins list"
            )
        rows = [row for row in rows if row.kind == kind_name or _listens(row.kind, kind_name)]
    order = {known.name: number for number, known in enumerate(registry().kinds)}
    rows = sorted(rows, key=lambda row: order.get(row.kind, len(order)))
    if as_json:
        json_result([asdict(row) for row in rows])
    else:
        table(
            ("kind", "name", "summary", "distribution", "version", "status", "error"),
            [_cells(row) for row in rows],
        )


def _select_plugins_of(spec: Path | None) -> None:
    """Use the plugins that a spec names by their files."""
    if spec is not None:
        from mftkit.spec.local_plugins import select_plugins_of_file

        select_plugins_of_file(spec)


def _listens(row_kind: str, kind: str) -> bool:
    """Whether the row is that of a plugin with hooks for the events of a run, which callbacks are called for, too."""
    return row_kind == "callbacks" and kind == "callback"


def _cells(row: "PluginRecord") -> tuple[str, ...]:
    name = f"{row.name} (default)" if row.default else row.name
    return row.kind, name, row.summary, row.distribution, row.version, row.status, row.error or ""


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

    _select_plugins_of(spec)
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
