"""What the page of a comparison is given, from compare.json and the runs' metrics."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.base.formatting import whole
from mftkit.pages.figures import Curve, plot
from mftkit.pages.tables import Cell, Table
from mftkit.pages.views import Overlay, legend, mood
from mftkit.runs.record import read_run
from mftkit.runs.series import Series, losses_of_task, thinned
from mftkit.tools.compare.rows import budget_told, rows, start_told
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.runs.record import RunRecord

COMPARISON = "compare.json"


@dataclass(frozen=True)
class RunLink:
    """A run of the list."""

    label: str
    state: str
    mood: str
    link: str


def comparison_values(path: Path, beside: Path) -> dict[str, Any]:
    """Values of the template; links to the runs' pages are relative to ``beside``.

    Raises MftError where compare.json is damaged.
    """
    try:
        document = json.loads((path / COMPARISON).read_text(encoding="utf-8"))
        return _values(document, path, beside)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MftError(
            f"{path / COMPARISON} is damaged ({type(error).__name__}: {error}); run mft compare again."
        ) from error


def _values(document: dict[str, Any], path: Path, beside: Path) -> dict[str, Any]:
    labels = [arm["label"] for arm in document["arms"]]
    found = rows(document)
    table = Table(
        "Best validation loss of each task, nats per token; lower is better",
        ["task", *labels],
        [(row.name, [Cell(*pair) for pair in zip(row.cells, row.best, strict=True)]) for row in found],
        footer=sum(not row.of_task for row in found),
    )
    spec = path / "spec.json"
    return {
        "title": f"{document['name']}: a comparison",
        "complete": document["complete"],
        "arms": labels,
        "seeds": len(document["seeds"]),
        "notices": [] if document["same_start"] in (None, True) else [start_told(document)],
        "results": table,
        "verdict": document["noise"]["told"],
        "rule": document["noise"]["rule"] if document["noise"]["measured"] else "",
        "overlay": _overlay(document, path),
        "told": [line for line in (budget_told(document), start_told(document)) if line],
        "facts": _facts(document),
        "runs": _links(document, path, beside),
        "spec": spec.read_text(encoding="utf-8") if spec.is_file() else "",
    }


def _overlay(document: dict[str, Any], path: Path) -> Overlay:
    """Validation losses, a plot a task and a curve an arm and seed, over the share of the run."""
    read: dict[str, RunRecord] = {}
    for arm in document["arms"]:
        for run in arm["runs"]:
            if (path / run["directory"]).is_dir() and run["state"] != "not started":
                read[run["directory"]] = read_run(path / run["directory"])
    made = []
    for number, task in enumerate(document["tasks"]):
        curves = [
            Curve(
                _by_share(read[run["directory"]], task),
                arm["label"],
                index,
                first=run["seed"] == document["seeds"][0],
            )
            for index, arm in enumerate(document["arms"])
            for run in arm["runs"]
            if run["directory"] in read and run["task"] in (None, task)
        ]
        made.append(
            plot(
                f"task-{number}",
                task,
                "Validation loss, nats per token.",
                curves,
                x_title="% of the run's steps",
            )
        )
    several = ", one a seed, the first drawn thick" if len(document["seeds"]) > 1 else ""
    return Overlay(
        "Validation loss by task",
        f"One plot a task, one colour an arm{several}. Runs differ in their steps, so the axis is their share.",
        legend([arm["label"] for arm in document["arms"]]),
        [each for each in made if each is not None],
    )


def _by_share(run: RunRecord, task: str) -> Series:
    steps = run.plan.get("steps")
    of = steps if isinstance(steps, int) and steps > 0 else max(1, run.last_step)
    series = losses_of_task(thinned(run.valid)[0], task)
    return Series([100 * x / of for x in series.x], series.y)


def _facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("seeds", ", ".join(str(seed) for seed in document["seeds"])),
        ("steps of a model of all tasks", whole(document["steps"])),
    ]
    facts += [
        (f"arm {arm['label']}", f"loss {arm['loss']['name']}, balancer {arm['balancer']['name']}")
        for arm in document["arms"]
    ]
    return facts


def _links(document: dict[str, Any], path: Path, beside: Path) -> list[RunLink]:
    made = []
    for arm in document["arms"]:
        for run in arm["runs"]:
            label = ", ".join(part for part in (arm["label"], run["task"], f"seed {run['seed']}") if part)
            link = os.path.relpath(path.absolute() / run["directory"] / "report.html", beside)
            made.append(RunLink(label, run["state"], mood(run["state"]), link))
    return made
