"""``mft compare``: one spec in several ways, and a table."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mftkit.cli.arguments import Overrides, SpecFile
from mftkit.cli.console import result
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.compare.arms import CompareOptions

SIGNALLED = 128
"""A comparison that a signal stopped exits with this plus the signal's number."""


Balancers = Annotated[
    list[str] | None,
    typer.Option(
        "--balancers",
        metavar="A,B",
        help='Balancers to try, each with SPEC\'s loss; or one as {"name": ..., "options": {...}}. '
        "May be given many times.",
        show_default=False,
    ),
]
Losses = Annotated[
    list[str] | None,
    typer.Option(
        "--losses",
        metavar="X,Y",
        help="Losses to try, each with SPEC's balancer; given as balancers are.",
        show_default=False,
    ),
]
Baselines = Annotated[
    str,
    typer.Option(
        "--baselines",
        metavar="LIST",
        help='"single": a model of its own for each task; "mixed": one model by plain cross-entropy; empty: none.',
    ),
]
MixedLoss = Annotated[
    str | None,
    typer.Option(
        "--mixed-loss",
        metavar="NAME",
        help='The loss of the baseline "mixed". [default: the one that promises plain cross-entropy]',
        show_default=False,
    ),
]
BudgetOf = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="steps|epochs",
        help='What a "single" model gets: as many epochs over its task as the others make, or as many steps.',
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", min=1, metavar="N", help="Seeds of each arm, from SPEC's on; 1 measures no noise."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Where everything is kept. [default: SPEC's output, with -compare]",
        show_default=False,
    ),
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Start over, removing the comparison that is in the output directory."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print compare.json in place of the table.")]


def compare(
    spec: SpecFile,
    balancers: Balancers = None,
    losses: Losses = None,
    baselines: Baselines = "single,mixed",
    mixed_loss: MixedLoss = None,
    budget: BudgetOf = "epochs",
    seeds: Seeds = 1,
    output: Output = None,
    overrides: Overrides = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train SPEC in several ways, everything else being equal, and compare what each task comes to.

    Goes on where it was stopped; arms that are finished are not run again.
    """
    from mftkit.spec import load_spec

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise MftError("mft compare runs in one process: start it without torchrun or accelerate launch")
    base = load_spec(spec, overrides or ())
    asked = _asked(balancers or [], losses or [], baselines, mixed_loss, budget)
    from transformers.utils import logging

    from mftkit.tools.compare.compare import compare as run_all

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours is shown instead
    with console_reporter() as reporter:
        compared = run_all(base, asked, seeds=seeds, output=output, fresh=fresh, reporter=reporter)
        if compared.signal is not None:
            reporter.note("stopped; what is finished is kept, and the same command goes on from there")
    _show(compared.document, compared.path, as_json)
    if compared.signal is not None:
        raise typer.Exit(SIGNALLED + compared.signal)
    if compared.failed:
        raise typer.Exit(1)


def _asked(
    balancers: list[str], losses: list[str], baselines: str, mixed_loss: str | None, budget: str
) -> "CompareOptions":
    from mftkit.tools.compare.arms import Budget, CompareOptions, parse_baselines, parse_references

    if budget not in tuple(Budget):
        raise MftError(f"--budget {budget}: allowed are {', '.join(Budget)}")
    return CompareOptions(
        baselines=parse_baselines(baselines),
        balancers=parse_references(balancers, "--balancers"),
        losses=parse_references(losses, "--losses"),
        mixed_loss=mixed_loss,
        budget=Budget(budget),
    )


def _show(document: dict[str, Any], path: Path, as_json: bool) -> None:
    if as_json:
        result(json.dumps(document, indent=2, ensure_ascii=False))
        return
    from mftkit.display.tables import as_text
    from mftkit.tools.compare.terminal import comparison_view

    if not sys.stdout.isatty():
        result(as_text(comparison_view(document, path)))
        return
    from rich.console import Console

    Console(file=sys.stdout, highlight=False, markup=False, emoji=False).print(
        comparison_view(document, path)
    )
