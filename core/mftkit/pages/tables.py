"""Tables of a page: headings and cells as text, which the templates escape."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, perplexity, share, whole
from mftkit.runs.series import MEAN, validation_losses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.plan import PlanJson
    from mftkit.runs.record import RunRecord


@dataclass(frozen=True)
class Cell:
    """A figure; ``best`` where it is the best of its row."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of a name and its figures."""

    caption: str
    headings: list[str]
    """The first is the name's."""
    rows: list[tuple[str, list[Cell]]]
    footer: int = 0
    """Number of last rows that summarize the others."""


def results(run: RunRecord) -> Table | None:
    """The validation losses of one run by task."""
    losses = validation_losses(run.valid, run.tasks)
    if not losses:
        return None
    rows = [
        (
            one.name,
            [
                Cell(nats(one.first)),
                Cell(nats(one.best)),
                Cell(whole(one.step)),
                Cell(nats(one.last)),
                Cell(perplexity(one.best) if one.name in run.tasks else "-"),
            ],
        )
        for one in losses
    ]
    headings = ["task", "first", "best", "at step", "last", "perplexity of best"]
    return Table("Validation loss, nats per token", headings, rows, footer=int(len(losses) > 1))


def side_by_side(runs: Sequence[RunRecord], titles: Sequence[str]) -> Table | None:
    """The best loss of each task, one column per run; the lowest of a row is marked."""
    found = [{one.name: one.best for one in validation_losses(run.valid, run.tasks)} for run in runs]
    names = sorted(dict.fromkeys(name for each in found for name in each), key=lambda n: n == MEAN)
    if not names:
        return None
    rows = []
    for name in names:
        lowest = min(each[name] for each in found if name in each)
        cells = [Cell(nats(each.get(name)), each.get(name) == lowest and len(runs) > 1) for each in found]
        rows.append((name, cells))
    headings = ["task", *titles]
    footer = int(names[-1] == MEAN)
    return Table("Best validation loss of each task, nats per token; lower is better", headings, rows, footer)


def planned_tasks(plan: PlanJson) -> Table | None:
    """The plan's tasks, with every figure that is not zero for all of them."""
    tasks = [task for task in plan.get("tasks", ()) if isinstance(task, dict) and "name" in task]
    if not tasks:
        return None
    keys = [key for key in tasks[0] if key != "name" and any(task.get(key) for task in tasks)]
    rows = [(str(task["name"]), [Cell(_figure(key, task.get(key))) for key in keys]) for task in tasks]
    return Table("Tasks as planned", ["task", *(key.replace("_", " ") for key in keys)], rows)


def planned_facts(plan: PlanJson) -> list[tuple[str, str]]:
    """The rest of the plan, one fact per line."""
    return list(
        _facts({key: value for key, value in plan.items() if key not in ("tasks", "name", "first_samples")})
    )


def environment_facts(environment: JsonObject) -> list[tuple[str, str]]:
    """environment.json, one fact per line."""
    facts = dict(environment)
    components = facts.pop("components", [])
    names = [
        (str(one.get("kind")), f"{one.get('name')} ({one.get('distribution')} {one.get('version')})")
        for one in components
        if isinstance(one, dict)
    ]
    return [*_facts(facts), *names]


def _facts(values: JsonObject, prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        label = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _facts(value, f"{label} ")
        elif isinstance(value, list):
            yield from ((label, _text(one)) for one in value)
        else:
            yield label, _figure(key, value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _figure(key: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return share(value) if key in ("share", "fill") else f"{value:g}"
    return _text(value)
