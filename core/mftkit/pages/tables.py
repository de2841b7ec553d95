"""Tables of a page: headings and cells as text, which the templates escape."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, perplexity, share, whole
from mftkit.pages.verdict import limits, noise_of_mean
from mftkit.pages.words import in_words
from mftkit.runs.series import MEAN, validation_losses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.pages.findings import Finding
    from mftkit.reporting.plan import PlanJson
    from mftkit.runs.record import RunRecord
    from mftkit.runs.series import Losses


@dataclass(frozen=True)
class Cell:
    """A figure of a row."""

    text: str
    best: bool = False
    """Whether it is the best of its row, beyond noise."""
    lowest: bool = False
    """Whether it is the lowest of its row, which noise may explain."""


@dataclass(frozen=True)
class Table:
    """Rows of a name and its figures."""

    caption: str
    headings: list[str]
    """The first is the name's."""
    rows: list[tuple[str, list[Cell]]]
    footer: int = 0
    """Number of last rows that summarize the others."""


def results(run: RunRecord, found: Sequence[Finding]) -> Table | None:
    """The validation losses of one run by task, with the findings on them."""
    losses = validation_losses(run.valid, run.tasks)
    if not losses:
        return None
    by_task = {one.task: one for one in found}
    rows = [(one.name, _loss_cells(one, by_task.get(one.name))) for one in losses]
    if rows[-1][0] == MEAN:
        known = [one for one in found if math.isfinite(one.noise)]
        rows[-1][1][5] = Cell(f"{noise_of_mean(known):.4f}" if known else "-")
    headings = ["task", "first", "best", "at step", "last", "perplexity of best", "noise", "finding"]
    caption = "Validation loss, nats per token. Differences up to the noise are no differences."
    return Table(caption, headings, rows, footer=int(len(losses) > 1))


def _loss_cells(losses: Losses, found: Finding | None) -> list[Cell]:
    noise = "-" if found is None or not math.isfinite(found.noise) else f"{found.noise:.4f}"
    return [
        Cell(nats(losses.first)),
        Cell(nats(losses.best)),
        Cell(whole(losses.step)),
        Cell(nats(losses.last)),
        Cell("-" if found is None else perplexity(losses.best)),
        Cell(noise),
        Cell("" if found is None else found.short),
    ]


def side_by_side(runs: Sequence[RunRecord], titles: Sequence[str]) -> Table | None:
    """The best loss of each task, one column per run; the lowest of a row and those within its noise are marked.

    A row in which noise could explain all differences has no mark.
    """
    noise = limits(runs)
    found = [{one.name: one.best for one in validation_losses(run.valid, run.tasks)} for run in runs]
    names = sorted(dict.fromkeys(name for each in found for name in each), key=lambda n: n == MEAN)
    if not names:
        return None
    rows = []
    for name in names:
        known = [each[name] for each in found if name in each]
        limit = min(known) + noise.get(name, 0.0)
        differ = max(known) > limit
        cells = [Cell(nats(each.get(name)), differ and each.get(name, math.inf) <= limit) for each in found]
        rows.append((name, cells))
    headings = ["task", *titles]
    footer = int(names[-1] == MEAN)
    caption = (
        "Best validation loss of each task, nats per token; lower is better. Marked: the lowest, and those within its "
        "noise"
    )
    return Table(caption, headings, rows, footer)


def planned_tasks(plan: PlanJson) -> Table | None:
    """The plan's tasks, with every figure that is not zero for all of them."""
    tasks = [task for task in plan.get("tasks", ()) if isinstance(task, dict) and "name" in task]
    if not tasks:
        return None
    keys = [key for key in tasks[0] if key != "name" and any(task.get(key) for task in tasks)]
    rows = [(str(task["name"]), [Cell(_figure(key, task.get(key))) for key in keys]) for task in tasks]
    return Table("Tasks as planned", ["task", *map(in_words, keys)], rows)


def planned_facts(plan: PlanJson) -> list[tuple[str, str]]:
    """The rest of the plan, one fact per line."""
    return list(
        _facts({key: value for key, value in plan.items() if key not in ("tasks", "name", "first_samples")})
    )


INTERNAL = ("content", "data", "model", "start")
"""Keys of environment.json by which a run recognizes its inputs; they say nothing to readers."""


def environment_facts(environment: JsonObject) -> list[tuple[str, str]]:
    """environment.json, one fact per line."""
    facts = {key: value for key, value in environment.items() if key not in INTERNAL and value is not None}
    components, plugins, resumed = (facts.pop(key, []) for key in ("components", "plugins", "resumed"))
    named = [
        (str(one.get("kind")), f"{one.get('name')} ({one.get('distribution')} {one.get('version')})")
        for one in components
        if isinstance(one, dict)
    ]
    used = [("plugin", _plugin(one)) for one in plugins if isinstance(one, dict)]
    start = environment.get("start")
    started = [("started from", str(start.get("weights")))] if isinstance(start, dict) else []
    sessions = [("resumed", _resumption(one)) for one in resumed if isinstance(one, dict)]
    return [*started, *sessions, *_facts(facts), *named, *used]


def _plugin(plugin: JsonObject) -> str:
    parts = [*plugin.get("components", []), *(["listens to the run"] if plugin.get("listens") else [])]
    name = plugin.get("path") or f"{plugin.get('distribution')} {plugin.get('version')}"
    return f"{name}: {', '.join(map(str, parts))}" if parts else str(name)


def _resumption(session: JsonObject) -> str:
    """One time that a run was resumed, with what had changed."""
    changed = [
        f"{one.get('key')}: {_text(one.get('before'))} -> {_text(one.get('now'))}"
        for one in (*session.get("changed", []), *session.get("environment", []))
        if isinstance(one, dict)
    ]
    text = f"from step {_figure('step', session.get('step'))} at {session.get('time')}"
    return f"{text}; {'; '.join(changed)}" if changed else text


def _facts(values: JsonObject, prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        label = f"{prefix}{in_words(key)}".strip()
        if value == "":
            continue
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
