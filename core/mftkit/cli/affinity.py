"""``mft affinity``: compares the gradients of tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.affinity_subsets import show_subsets
from mftkit.cli.app import app
from mftkit.cli.arguments import Overrides, SpecFile, hide_other_progress
from mftkit.cli.console import result, table
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.affinity.intervals import Affinity

Batches = Annotated[
    int,
    typer.Option("--batches", min=3, metavar="N", help="Number of batches for the confidence intervals."),
]
Samples = Annotated[
    int, typer.Option("--samples", min=1, metavar="N", help="Samples of each task in half a batch.")
]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, metavar="N", help="Random seed for choosing samples and for intervals."),
]
Layers = Annotated[
    str,
    typer.Option(
        "--layers",
        metavar="N|all",
        help="Compare the trained parameters of the last N decoder layers, or all of them. auto: all of an adapter, "
        "the last 2 layers of a full model.",
    ),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Use these weights instead of those that SPEC starts from: a run directory (its best checkpoint), "
        "RUN@STEP, RUN@last, RUN@best, RUN@best:TASK, a directory with a model or a PEFT adapter, or a hub id.",
        show_default=False,
    ),
]
StepOfRun = Annotated[
    int | None,
    typer.Option(
        "--step",
        metavar="N",
        help="Use the run's checkpoint of this step. Without --run, the run is SPEC's own.",
        show_default=False,
    ),
]
Subsets = Annotated[
    bool,
    typer.Option(
        "--subsets",
        help="Predict the validation losses of training on each subset of the tasks, and propose which to train "
        "together.",
    ),
]
Groups = Annotated[
    int,
    typer.Option("--groups", min=1, metavar="K", help="With --subsets: the most groups that are proposed."),
]
Projection = Annotated[
    int,
    typer.Option(
        "--projection", min=8, metavar="D", help="With --subsets: numbers to which a gradient is projected."
    ),
]
Measured = Annotated[
    list[Path] | None,
    typer.Option(
        "--measured",
        metavar="DIR",
        help="Predict as with --subsets, and report how far the predictions agree with real runs on subsets of the "
        "tasks: a run directory, a comparison's, or one that holds such. May be repeated.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Directory for affinity.html and affinity.json. [default: SPEC's output with -affinity]",
        show_default=False,
    ),
]


@app.command()
def affinity(
    spec: SpecFile,
    overrides: Overrides = None,
    batches: Batches = 16,
    samples: Samples = 8,
    seed: Seed = 0,
    layers: Layers = "auto",
    run: Run = None,
    step: StepOfRun = None,
    subsets: Subsets = False,
    groups: Groups = 2,
    projection: Projection = 512,
    measured: Measured = None,
    output: Output = None,
) -> None:
    """Compare the gradients of SPEC's tasks.

    Shows which tasks help each other and which conflict, as a table and as a page; with --subsets also which to train
    together.
    """
    from mftkit.spec import load_spec

    read = load_spec(spec, overrides or ())
    count = _layers(layers)
    from mftkit.base.atomic_files import disk_errors, write_json, write_text
    from mftkit.tools.affinity.measure import measure
    from mftkit.tools.affinity.page import page
    from mftkit.tools.affinity.run_checkpoint import weights_to_measure
    from mftkit.tools.affinity.subset_measurement import SubsetOptions

    hide_other_progress()
    target = output or read.output.with_name(f"{read.output.name}-affinity")
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    checkpoint = None
    if run is not None or step is not None:
        read, checkpoint = weights_to_measure(read, run or str(read.output), step)
    options = SubsetOptions(2 * batches * samples, groups, projection, tuple(measured or ()))
    with console_reporter() as reporter:
        found = measure(
            read,
            batches=batches,
            samples=samples,
            seed=seed,
            layers=count,
            all_parameters=layers == "all",
            checkpoint=checkpoint,
            reporter=reporter,
            subsets=options if subsets or measured else None,
        )
    write_json(target / "affinity.json", found.to_json())
    write_text(target / "affinity.html", page(found))
    _show(found)
    if found.subsets is not None:
        show_subsets(found.subsets)
    result(f"{target / 'affinity.html'}")


def _layers(value: str) -> int | None:
    if value in ("auto", "all"):
        return None
    if not value.isdecimal() or int(value) < 1:
        raise MftError(f'--layers {value}: expected a whole number, at least 1, or "all"')
    return int(value)


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
        pairs = [f"{pair.first} and {pair.second}" for pair in found.pairs if pair.verdict == verdict]
        result(f"{verdict} each other: {', '.join(pairs) or 'none beyond chance'}")
