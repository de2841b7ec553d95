"""``mft spec import``: a spec from a config of another toolkit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.console import result, show_message
from mftkit.cli.spec import commands
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.spec_import.importing import ImportedSpec


@commands.command("import")
def import_(
    toolkit: Annotated[
        str,
        typer.Argument(metavar="TOOLKIT", help="mftcoder, llamafactory, axolotl or trl.", show_default=False),
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The config, YAML or JSON.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="SPEC",
            help="The file to write: .yaml with comments, or .json. [default: FILE's name with -spec.yaml]",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            metavar="N",
            help="Devices that the config was made for, a factor of the batch.",
        ),
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Translate a config of another toolkit into a spec.

    Lists every key that has no meaning here, that was translated with another meaning, and what to fill in.
    """
    from mftkit.base.atomic_files import write_text
    from mftkit.base.formatting import place
    from mftkit.tools.spec_import.importing import import_config

    target = output or Path(f"{file.stem}-spec.yaml")
    if target.exists() and not force:
        raise MftError(f"{target} exists already; choose another --output, or replace it with --force")
    if not target.absolute().parent.is_dir():
        raise MftError(f"--output: there is no directory {target.parent}; create it first")
    imported = import_config(toolkit, file, target, devices)
    write_text(target, imported.spec.text(target))
    _show(imported)
    shown = place(target)
    result(f"{shown}: written")
    result(f"  mft spec check {shown}")
    result(f"  mft run {shown} --dry-run")


def _show(imported: "ImportedSpec") -> None:
    """Print what became of each key."""
    from mftkit.base.formatting import one_line

    groups = (
        ("translated", [f"{key} -> {where}" for key, where in imported.translated.items()]),
        (
            "translated with another meaning",
            [f"{key} -> {what}" for key, what in imported.approximated.items()],
        ),
        ("without meaning here", [f"{key}: {why}" for key, why in imported.without_meaning.items()]),
        ("to be filled in", imported.missing),
    )
    for title, lines in groups:
        if lines:
            show_message(f"{title} ({len(lines)}):")
        for line in lines:
            show_message(one_line(f"  {line}"))
