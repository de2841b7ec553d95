"""``mft affinity``: which tasks help and which fight each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.arguments import Overrides, SpecFile
from mftkit.cli.console import result, table
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.affinity.intervals import Affinity


Batches = Annotated[
    int, typer.Option("--batches", min=3, metavar="N", help="Batches, over which intervals are taken.")
]
Samples = Annotated[
    int, typer.Option("--samples", min=1, metavar="N", help="Samples of each task in half a batch.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of the samples drawn.")]
Layers = Annotated[
    str,
    typer.Option(
        "--layers",
        metavar="N|all",
        help="Compare the trained parameters of the last N decoder layers, or all; auto: all of an adapter, "
        "the last 2 layers of a whole model.",
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Take the weights of this run's best checkpoint, in place of those that SPEC starts with.",
        show_default=False,
    ),
]
StepOfRun = Annotated[
    int | None,
    typer.Option(
        "--step",
        metavar="N",
        help="The run's checkpoint of this step; the run is SPEC's own where --run is left out.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Where affinity.html and affinity.json are written. [default: SPEC's output with -affinity]",
        show_default=False,
    ),
]


def affinity(
    spec: SpecFile,
    overrides: Overrides = None,
    batches: Batches = 16,
    samples: Samples = 8,
    seed: Seed = 0,
    layers: Layers = "auto",
    run: Run = None,
    step: StepOfRun = None,
    output: Output = None,
) -> None:
    """Compare the gradients of SPEC's tasks: which help and which fight each other."""
    from mftkit.spec import load_spec

    read = load_spec(spec, overrides or ())
    number = _layers(layers)
    from transformers.utils import logging

    from mftkit.base.atomic_files import disk_errors, write_json, write_text
    from mftkit.tools.affinity.measure import measure
    from mftkit.tools.affinity.page import page
    from mftkit.tools.affinity.run_checkpoint import state_of_run

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours is shown instead
    target = output or read.output.with_name(f"{read.output.name}-affinity")
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    state = None if run is None and step is None else state_of_run(read, run or read.output, step)
    with console_reporter() as reporter:
        found = measure(
            read,
            batches=batches,
            samples=samples,
            seed=seed,
            layers=number,
            everything=layers == "all",
            state=state,
            reporter=reporter,
        )
    write_json(target / "affinity.json", found.as_json())
    write_text(target / "affinity.html", page(found))
    _show(found)
    result(f"{target / 'affinity.html'}")


def _layers(given: str) -> int | None:
    if given in ("auto", "all"):
        return None
    if not given.isdecimal() or int(given) < 1:
        raise MftError(f'--layers: should be a whole number, at least 1, or "all" (given: {given})')
    return int(given)


def _show(found: "Affinity") -> None:
    names = found.tasks
    matrix = [
        [name, *(f"{cosine:+.3f}" for cosine in row)] for name, row in zip(names, found.cosine, strict=True)
    ]
    table(("cosine", *names), matrix)
    rows = [
        (pair.first, pair.second, f"{pair.cosine:+.3f}", f"{pair.low:+.3f} to {pair.high:+.3f}", pair.verdict)
        for pair in found.pairs
    ]
    result("")
    table(("task", "task", "cosine", "95% interval", "they"), rows)
    result("")
    for verdict in ("help", "fight"):
        told = [f"{pair.first} and {pair.second}" for pair in found.pairs if pair.verdict == verdict]
        result(f"{verdict} each other: {', '.join(told) or 'none that can be told from chance'}")
