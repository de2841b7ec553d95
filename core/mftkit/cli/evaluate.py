"""``mft evaluate``: what a model can do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.base.importing import collector_paused
from mftkit.cli.app import app
from mftkit.cli.arguments import AllowWeakIsolation, Overrides, allow_weak_isolation, hide_other_progress
from mftkit.cli.console import json_result, show_view
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.evaluate.evaluate import EvaluationRun


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A run directory, RUN@STEP, RUN@last, RUN@best, RUN@best:TASK, a directory with a model or a PEFT "
        "adapter, or a hub id.",
        show_default=False,
    ),
]
SpecArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SPEC]",
        help="The spec whose tasks are evaluated. Left out, it is the spec of MODEL's run.",
        show_default=False,
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task", metavar="TASK", help="Evaluate this task alone. May be repeated.", show_default=False
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Directory of prompts, answers, verdicts and metrics. [default: runs/evaluate-MODEL]",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, metavar="N", help="Evaluate the first N rows of each task.", show_default=False
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples",
        min=1,
        metavar="N",
        help="Generate N answers to each row; several need a temperature.",
        show_default=False,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        min=0,
        metavar="T",
        help="Sample at temperature T; 0: greedy.",
        show_default=False,
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        min=1,
        metavar="N",
        help="End each answer after N tokens at most.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")]


@app.command()
def evaluate(
    model: Model,
    spec: SpecArgument = None,
    task: Tasks = None,
    output: Output = None,
    limit: Limit = None,
    samples: Samples = None,
    temperature: Temperature = None,
    max_new_tokens: MaxNewTokens = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    weak: AllowWeakIsolation = False,
) -> None:
    """Evaluate MODEL on the tasks of SPEC.

    Each task with a section "evaluate", and each of evaluation.tasks, is measured by its evaluators. Prompts, answers,
    verdicts and a page are written to DIR; an evaluation that was stopped continues there. Options on rows and answers
    stand for the keys of the same names in all these sections.
    """
    from mftkit.spec import load_spec

    with collector_paused():
        from mftkit.tools.evaluate.evaluate import evaluate as evaluated
    from mftkit.tools.evaluate.settings import with_answer_settings

    allow_weak_isolation(weak)
    hide_other_progress()
    source = spec or _own_spec(model)
    given = {"limit": limit, "samples": samples, "temperature": temperature, "max_new_tokens": max_new_tokens}
    loaded = with_answer_settings(load_spec(source, overrides or []), given)
    directory = (output or Path("runs") / f"evaluate-{_file_name(model)}").absolute()
    with console_reporter() as reporter:
        done = evaluated(loaded, model, reporter, output=directory, tasks=task or ())
    _show(done, as_json=as_json)


def _own_spec(model: str) -> Path:
    from mftkit.runs.reference import find_weights

    run = find_weights(model, "MODEL").run
    if run is None:
        raise MftError(f"SPEC: {model} belongs to no run, so it has no spec; give one")
    return run / "spec.json"


def _file_name(model: str) -> str:
    return re.sub(r"[^\w.@-]+", "-", model).strip("-.")[-100:] or "model"


def _show(done: EvaluationRun, *, as_json: bool) -> None:
    from mftkit.display.evaluation import evaluation_view

    if as_json:
        json_result({"model": done.model, "tasks": done.results.to_json()})
        return
    show_view(evaluation_view(done.model, done.results, done.directory, done.page))
