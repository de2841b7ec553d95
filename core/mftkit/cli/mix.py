"""``mft mix search``: proportions of the tasks, without training each mixing."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.arguments import Overrides, SpecFile, hide_other_progress
from mftkit.cli.console import json_result, show_view
from mftkit.cli.exit_codes import SIGNALLED
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.spec import Spec
    from mftkit.tools.mix_search.mix_search import Searched

commands = typer.Typer(help="Choose how much of each task an epoch has.", no_args_is_help=True)
app.add_typer(commands, name="mix")
Singles = Annotated[
    Path | None,
    typer.Option(
        "--singles",
        metavar="DIR",
        help="A comparison of SPEC whose single models are merged. [default: they are trained]",
        show_default=False,
    ),
]
Candidates = Annotated[
    int, typer.Option("--candidates", metavar="N", min=1, help="Number of proportions that are measured.")
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", metavar="N", min=1, help="Seeds of the models of single tasks, starting at SPEC's."
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by", metavar="loss|EVALUATOR/METRIC", help="What candidates are ranked by: its mean over tasks."
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="TASK=W",
        help="Weight of a task in the mean over tasks; 1 for the others. May be repeated.",
        show_default=False,
    ),
]
BudgetOfSingle = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="steps|epochs",
        help="Budget of the models of single tasks that are trained: as many steps as SPEC makes, or as many epochs.",
    ),
]
Verify = Annotated[
    int,
    typer.Option(
        "--verify",
        metavar="K",
        min=0,
        help="Also train the K best proportions, uniform ones and those by size, and compare them with what merging "
        "predicted.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Directory for results and runs. [default: SPEC's output with -mix]",
        show_default=False,
    ),
]
Write = Annotated[
    Path | None,
    typer.Option(
        "--write",
        metavar="FILE",
        help="Write SPEC with the best proportions, as JSON with all defaults and absolute paths.",
        show_default=False,
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start over, removing the search in the output directory.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print mix.json instead of the table.")]


@commands.command()
def search(
    spec: SpecFile,
    singles: Singles = None,
    candidates: Candidates = 30,
    seeds: Seeds = 1,
    by: By = "loss",
    weights: Weights = None,
    budget: BudgetOfSingle = "steps",
    verify: Verify = 0,
    output: Output = None,
    write: Write = None,
    overrides: Overrides = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Choose the proportions of SPEC's tasks.

    Candidates are measured by merging models of single tasks, not by training. Resumes a search that was stopped.
    """
    from mftkit.spec import load_spec

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise MftError("mft mix search runs in one process: start it without torchrun or accelerate launch")
    base = load_spec(spec, overrides or ())
    from mftkit.tools.compare.arms import BudgetUnit
    from mftkit.tools.mix_search.mix_search import search_mixing
    from mftkit.tools.mix_search.options import SearchOptions, parse_weights
    from mftkit.tools.mix_search.written_spec import check_target, write_spec

    if write is not None:
        check_target(write)

    def load(changes: list[str]) -> "Spec":
        return load_spec(spec, [*(overrides or ()), *changes])

    if budget not in tuple(BudgetUnit):
        raise MftError(f"--budget {budget}: expected {' or '.join(BudgetUnit)}")
    options = SearchOptions(
        candidates, seeds, by, parse_weights(weights or ()), BudgetUnit(budget), singles, verify
    )
    hide_other_progress()
    with console_reporter() as reporter:
        searched = search_mixing(base, options, output=output, fresh=fresh, reporter=reporter, load=load)
        if searched.signal is not None:
            reporter.note("stopped; what is finished is kept, and the same command resumes the search")
    if searched.result is not None:
        if write is not None:
            write_spec(base, searched.result, write)
        _show(searched, as_json=as_json)
    if searched.signal is not None:
        raise typer.Exit(SIGNALLED + searched.signal)
    if searched.has_failed_run:
        raise typer.Exit(1)


def _show(searched: "Searched", *, as_json: bool) -> None:
    from mftkit.tools.mix_search.terminal import search_view

    assert searched.result is not None, "the search has a result"
    if as_json:
        json_result(searched.result.to_json())
    else:
        show_view(search_view(searched.result, searched.path))
