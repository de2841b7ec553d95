"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from mftkit.cli import data, plugins, spec
from mftkit.cli.affinity import affinity
from mftkit.cli.chat import chat, complete
from mftkit.cli.compare import compare
from mftkit.cli.convert import convert
from mftkit.cli.doctor import doctor
from mftkit.cli.generate import generate
from mftkit.cli.merge import merge
from mftkit.cli.report import report
from mftkit.cli.run import run

app = typer.Typer(
    help="Fine-tune one code model on many tasks at once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(compare)
app.command()(generate)
app.command()(affinity)
app.command()(doctor)
app.command()(merge)
app.command()(report)
app.add_typer(data.app, name="data")
app.command()(chat)
app.command()(complete)
app.command()(convert)
app.add_typer(plugins.app, name="plugins")
app.add_typer(spec.app, name="spec")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mftkit {version('mftkit')}")
        raise typer.Exit


@app.callback()
def _everywhere(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; also after the command, or MFT_DEBUG=1.")
    ] = False,
) -> None:
    """Fine-tune one code model on many tasks at once."""
