"""``mft compare``: trains one spec in several ways, and prints a table."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.arguments import Overrides, SpecFile, hide_other_progress
from mftkit.cli.console import json_result, result, show_view
from mftkit.cli.exit_codes import SIGNALLED
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.spec import Spec
    from mftkit.tools.compare.arms import CompareOptions
    from mftkit.tools.compare.compare import Compared

Balancers = Annotated[
    list[str] | None,
    typer.Option(
        "--balancers",
        metavar="A,B",
        help='Balancers to try, each with SPEC\'s loss; or one as {"name": ..., "options": {...}}. '
        "May be repeated.",
        show_default=False,
    ),
]
Losses = Annotated[
    list[str] | None,
    typer.Option(
        "--losses",
        metavar="X,Y",
        help="Losses to try, each with SPEC's balancer; given in the same way as balancers.",
        show_default=False,
    ),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=V,W",
        help="Values of a key of the spec to try, such as training.learning_rate=1e-5,3e-5. Repeated: all "
        "combinations. Values are as for --set; one that contains a comma must be JSON.",
        show_default=False,
    ),
]
Arms = Annotated[
    list[str] | None,
    typer.Option(
        "--arm",
        metavar="[NAME:]KEY=V,...",
        help="One more arm: SPEC with these keys changed, such as loss=NAME or "
        "long:training.epochs=3,training.warmup=0.1. May be repeated.",
        show_default=False,
    ),
]
Baselines = Annotated[
    str | None,
    typer.Option(
        "--baselines",
        metavar="LIST",
        help='"single": a separate model for each task; "mixed": one model by plain cross-entropy; empty: none. '
        "[default: single,mixed; none with --vary or --arm]",
        show_default=False,
    ),
]
MixedLoss = Annotated[
    str | None,
    typer.Option(
        "--mixed-loss",
        metavar="NAME",
        help='The loss of the baseline "mixed". [default: the one that is plain cross-entropy]',
        show_default=False,
    ),
]
Merged = Annotated[
    list[str] | None,
    typer.Option(
        "--merged",
        metavar="METHOD",
        help='One more arm: the "single" models of a seed merged, without training: arithmetic (by default their '
        'average), ties or dare; or as {"method": ..., "density": ..., "weight": ...}. May be repeated.',
        show_default=False,
    ),
]
Soups = Annotated[
    list[str] | None,
    typer.Option(
        "--soup",
        metavar="ARM",
        help="One more arm: the average of the weights of ARM's models of all seeds. May be repeated.",
        show_default=False,
    ),
]
BudgetOfSingle = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="steps|epochs",
        help='Budget of a "single" model: as many epochs over its task as the others make, or as many steps.',
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds",
        min=1,
        metavar="N",
        help="Seeds per arm, starting at SPEC's. With 1, noise is not measured.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Directory for runs and results. [default: SPEC's output with -compare]",
        show_default=False,
    ),
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Start over, removing the comparison in the output directory."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check all arms and print them with their runs, without training.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print compare.json instead of the table.")]


@app.command()
def compare(
    spec: SpecFile,
    balancers: Balancers = None,
    losses: Losses = None,
    vary: Vary = None,
    arms: Arms = None,
    baselines: Baselines = None,
    mixed_loss: MixedLoss = None,
    merged: Merged = None,
    soups: Soups = None,
    budget: BudgetOfSingle = "epochs",
    seeds: Seeds = 1,
    output: Output = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train SPEC in several ways and compare the results.

    Everything else stays the same. The table shows the best validation losses of each task. Resumes a comparison that
    was stopped; finished runs are not trained again.
    """
    from mftkit.spec import load_spec

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise MftError("mft compare runs in one process: start it without torchrun or accelerate launch")
    base = load_spec(spec, overrides or ())
    from mftkit.tools.compare.settings import parse_arms, parse_vary
    from mftkit.tools.merging.options import parse_merges

    options = replace(
        _options(balancers or [], losses or [], baselines, mixed_loss, budget),
        vary=tuple(parse_vary(vary or ())),
        arms=tuple(parse_arms(arms or ())),
        merged=parse_merges(merged or (), "--merged"),
        soups=tuple(soups or ()),
    )

    def load(changes: list[str]) -> "Spec":
        return load_spec(spec, [*(overrides or ()), *changes])

    from mftkit.tools.compare.compare import compare as run_all

    hide_other_progress()
    if dry_run:
        _plan(base, options, seeds, load)
        return
    with console_reporter() as reporter:
        compared = run_all(
            base, options, seeds=seeds, output=output, fresh=fresh, reporter=reporter, load=load
        )
        if compared.signal is not None:
            reporter.note("stopped; finished runs are kept, and the same command resumes the comparison")
    _show(compared, as_json)
    if compared.signal is not None:
        raise typer.Exit(SIGNALLED + compared.signal)
    if compared.result.has_failed_run:
        raise typer.Exit(1)


def _plan(base: "Spec", options: "CompareOptions", seeds: int, load: "Callable[[list[str]], Spec]") -> None:
    from mftkit.tools.compare.compare import plan_comparison
    from mftkit.tools.compare.terminal import planned_view

    with console_reporter(dry_run=True) as reporter:
        comparison = plan_comparison(base, options, seeds=seeds, reporter=reporter, load=load)
    show_view(planned_view(comparison))


def _options(
    balancers: list[str], losses: list[str], baselines: str | None, mixed_loss: str | None, budget: str
) -> "CompareOptions":
    from mftkit.tools.compare.arms import BudgetUnit, CompareOptions, parse_baselines, parse_references

    if budget not in tuple(BudgetUnit):
        raise MftError(f"--budget {budget}: expected {' or '.join(BudgetUnit)}")
    return CompareOptions(
        baselines=None if baselines is None else parse_baselines(baselines),
        balancers=parse_references(balancers, "--balancers"),
        losses=parse_references(losses, "--losses"),
        mixed_loss=mixed_loss,
        budget=BudgetUnit(budget),
    )


def _show(compared: "Compared", as_json: bool) -> None:
    if as_json:
        json_result(compared.result.to_json())
        return
    from mftkit.display.tables import as_text, color_system
    from mftkit.tools.compare.terminal import comparison_view

    view = comparison_view(compared.result, compared.path)
    if not sys.stdout.isatty():
        result(as_text(view))
        return
    from rich.console import Console

    Console(file=sys.stdout, color_system=color_system(), highlight=False, markup=False, emoji=False).print(
        view
    )
