"""The ``mft`` command. Each module of this package that holds a command adds it to ``app`` when it is imported."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

import typer

app = typer.Typer(
    help="Fine-tune one code model on many tasks at once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def with_commands() -> typer.Typer:
    """``app`` with every command. The modules are light: what is heavy is imported when a command runs."""
    package = importlib.import_module("mftkit.cli")
    for module in pkgutil.iter_modules(package.__path__, "mftkit.cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return app


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"mftkit {version('mftkit')}")
        raise typer.Exit


@app.callback()
def _global_options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    _debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show tracebacks. May also be given after the command, or as MFT_DEBUG=1."
        ),
    ] = False,
) -> None:
    """Fine-tune one code model on many tasks at once."""
