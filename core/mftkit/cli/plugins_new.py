"""``mft plugins new``: writes a plugin package as a starting point."""

from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.console import result


def new(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the component, as specs give it.", show_default=False),
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="K", help="Kind of the component: loss, balancer, ...", show_default=False
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Directory of the package; must not exist. [default: mft-NAME]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a plugin package with a component.

    It has a small component of kind K, its tests and its entry point.
    """
    from mftkit.tools.scaffold import new_package

    written = new_package(name, kind, directory)
    article = "an" if written.kind[0] in "aeiou" else "a"
    result(f"{written.directory}: {article} {written.kind}, {written.component}, in {written.module}")
    for step in (
        f"cd {written.directory}",
        "pip install -e .",
        "pytest",
        f"mft plugins check {written.component}",
    ):
        result(f"  {step}")
