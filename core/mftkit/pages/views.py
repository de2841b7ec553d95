"""Runs as text, tables and plots, for the templates."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, whole
from mftkit.pages import tables
from mftkit.pages.colors import Entry, legend
from mftkit.pages.evaluations import evaluation_plots, evaluation_table
from mftkit.pages.figures import Curve, Plot, constant_weights, plot, plots
from mftkit.pages.measures import measures
from mftkit.pages.verdict import findings, verdict
from mftkit.reporting.outcome import COMPLETED
from mftkit.runs.best_by import best_by, best_by_text
from mftkit.runs.series import MEAN, best_of_mean, losses_of_task, thinned
from mftkit.spec.training import LOSS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.pages.tables import Table
    from mftkit.runs.record import RunRecord


@dataclass(frozen=True)
class RunView:
    """Everything that a page shows of one run."""

    key: str
    """Unique on the page; it becomes part of ids."""
    name: str
    state: str
    mood: str
    """"good", "bad" or "open": the color of the state."""
    headline: list[tuple[str, str]]
    verdict: list[str]
    """Sentences that the numbers support."""
    error: str | None
    faults: list[str]
    results: Table | None
    evaluations: Table | None
    plots: list[Plot]
    legend: list[Entry]
    plan: Table | None
    plan_facts: list[tuple[str, str]]
    environment: list[tuple[str, str]]
    spec: str
    loss: str = ""
    balancer: str = ""


@dataclass(frozen=True)
class Overlay:
    """One plot per task, in which every run is a curve."""

    title: str
    caption: str
    legend: list[Entry]
    plots: list[Plot] = field(default_factory=list)


def run_view(run: RunRecord, key: str) -> RunView:
    """A run, ready to be shown."""
    found = findings(run)
    entries = legend(run.tasks)
    return RunView(
        key=key,
        name=run.name,
        state=run.state,
        mood=mood(run.state),
        headline=_headline(run),
        error=run.end.error if run.end else None,
        faults=[*run.faults, *_open_run(run)],
        verdict=verdict(run, found),
        results=tables.results(run, found),
        evaluations=evaluation_table(run.evaluations),
        plots=[*evaluation_plots(run.evaluations), *plots(run)],
        legend=[*entries, Entry(MEAN, None)] if len(entries) > 1 and run.valid else entries,
        plan=tables.planned_tasks(run.plan),
        plan_facts=tables.planned_facts(run.plan),
        environment=tables.environment_facts(run.environment),
        spec=json.dumps(run.spec, indent=2, ensure_ascii=False) if run.spec else "",
        loss=_named(run.spec, "loss"),
        balancer=_named(run.spec, "balancer"),
    )


def mood(state: str) -> str:
    """The color of a run's state: "good", "bad" or "open"."""
    return "good" if state in COMPLETED else "bad" if state == "failed" else "open"


def by_task(runs: Sequence[RunRecord], names: Sequence[str]) -> Overlay:
    """Validation losses of several runs, one plot per task and one curve per run."""
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    made = []
    for number, task in enumerate(tasks):
        curves = [
            Curve(losses_of_task(thinned(run.valid)[0], task), name, index)
            for index, (run, name) in enumerate(zip(runs, names, strict=True))
        ]
        made.append(plot(f"task-{number}", task, "Validation loss, nats per token, by run.", curves))
    return Overlay(
        "Validation loss by task",
        "One plot per task, one curve per run.",
        legend(names),
        [each for each in made if each is not None],
    )


def _headline(run: RunRecord) -> list[tuple[str, str]]:
    steps = run.plan.get("steps")
    of = f" of {whole(steps)}" if isinstance(steps, int) else ""
    facts = [("step", f"{whole(run.last_step)}{of}")]
    if run.train:
        facts.append(("epochs", f"{run.train[-1].epoch or 0:.2f}"))
    by = best_by(run.spec)
    if by != LOSS and run.end and run.end.best_step is not None:
        facts.append(("best step", f"{whole(run.end.best_step)}, by {best_by_text(by)}"))
    elif by == LOSS and (best := best_of_mean(run.valid)):
        facts.append(("best step", f"{whole(best.step)}, loss {nats(best.loss)}"))
        if run.end and run.end.is_complete and run.end.best_step != best.step:  # its checkpoint was lost
            facts.append(("model/ is of step", whole(run.last_step)))
    facts += [(key, name) for key in ("loss", "balancer") if (name := _named(run.spec, key))]
    facts += measures(run)
    if isinstance(run.plan.get("parameters"), int):
        facts.append(("parameters", whole(run.plan["parameters"])))
    if (weights := constant_weights(run)) and len(run.tasks) > 1:
        facts.append(("weights of tasks, constant", _weights(weights)))
    return facts


def _weights(weights: dict[str, float]) -> str:
    """Weights that do not move, in words."""
    if len({f"{weight:.6g}" for weight in weights.values()}) == 1:
        return f"{next(iter(weights.values())):.4g} each"
    return ", ".join(f"{task} {weight:.4g}" for task, weight in weights.items())


def _open_run(run: RunRecord) -> list[str]:
    if run.end is not None:
        return []
    return [
        "there is no end line: the run is still in progress, or was killed; this page shows it up to here"
    ]


def _named(spec: JsonObject, key: str) -> str:
    found = spec.get(key)
    return str(found.get("name", "")) if isinstance(found, dict) else ""
