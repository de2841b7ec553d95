"""The content of a comparison's page, from compare.json and the runs' metrics."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, whole
from mftkit.pages.colors import legend
from mftkit.pages.figures import Curve, plot
from mftkit.pages.tables import Cell, Table
from mftkit.pages.views import Overlay, mood
from mftkit.runs.record import read_run
from mftkit.runs.series import Series, losses_of_task, thinned
from mftkit.tools.compare.paired_rows import HEADINGS, paired_rows
from mftkit.tools.compare.paired_rows import RULE as PAIRED_RULE
from mftkit.tools.compare.result import NOT_STARTED, read_result
from mftkit.tools.compare.rows import (
    budget_text,
    effect_texts,
    made_text,
    metric_rows,
    metric_texts,
    start_text,
    table_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.runs.record import RunRecord
    from mftkit.tools.compare.result import ComparisonResult
    from mftkit.tools.compare.rows import TableRow


@dataclass(frozen=True)
class RunLink:
    """A run of the list."""

    label: str
    state: str
    mood: str
    link: str


def comparison_values(path: Path, beside: Path) -> dict[str, object]:
    """Values of the template; links to the runs' pages are relative to ``beside``.

    Raises MftError where compare.json is damaged.
    """
    result = read_result(path)
    labels = [arm.label for arm in result.arms]
    rows = table_rows(result)
    differ = any(one.verdict != "no difference" for one in result.noise.differences)
    table = Table(
        "Best validation loss of each task, nats per token; lower is better",
        ["task", *labels],
        [(row.name, _cells(row, differ)) for row in rows],
        footer=sum(not row.of_task for row in rows),
    )
    spec = path / "spec.json"
    return {
        "title": f"{result.name}: a comparison",
        "complete": result.complete,
        "arms": labels,
        "seeds": len(result.seeds),
        "notices": [] if result.same_start in (None, True) else [start_text(result)],
        "results": table,
        "metrics": _metrics(result, labels),
        "metric_notes": metric_texts(result),
        "paired": _paired(result),
        "paired_rule": PAIRED_RULE,
        "verdict": _verdict(result),
        "rule": result.noise.rule if result.noise.measured else "",
        "overlay": _overlay(result, path),
        "method": [line for line in (budget_text(result), start_text(result), made_text(result)) if line],
        "facts": _facts(result),
        "runs": _links(result, path, beside),
        "spec": spec.read_text(encoding="utf-8") if spec.is_file() else "",
    }


def _metrics(result: ComparisonResult, labels: list[str]) -> Table | None:
    """The metrics of the last evaluations; green where the rule of noise finds a difference."""
    differ = [any(one.verdict != "no difference" for one in each.differences) for each in result.metrics]
    rows = [(row.name, _cells(row, beyond)) for row, beyond in zip(metric_rows(result), differ, strict=True)]
    return Table("Metrics of the last evaluation", ["task and metric", *labels], rows) if rows else None


def _paired(result: ComparisonResult) -> Table | None:
    rows = [(name, [Cell(text) for text in cells]) for name, *cells in paired_rows(result)]
    return Table("The same rows, answered by two arms", HEADINGS, rows) if rows else None


def _cells(row: TableRow, differ: bool) -> list[Cell]:
    """Figures of a row; the lowest is the best only if the noise rule finds any difference between arms."""
    pairs = zip(row.cells, row.best, strict=True)
    return [Cell(text, best=lowest and differ, lowest=lowest) for text, lowest in pairs]


def _verdict(result: ComparisonResult) -> list[str]:
    """The verdict of the noise rule, the size of each difference, and what is missing."""
    missing = [arm.label for arm in result.arms if not arm.is_complete]
    sizes = [
        f"{one.arm} minus {result.noise.best}: {one.mean:+.4f} nats per token (interval {one.low:+.4f} to "
        f"{one.high:+.4f}): {one.verdict}."
        for one in result.noise.differences
        if one.mean or one.low or one.high  # equal arms are named by ``effect_texts``
    ]
    lowest = [] if result.noise.measured else _lowest_means(result)
    incomplete = [f"Without a result yet, and so not compared: {', '.join(missing)}."] if missing else []
    return [result.noise.summary, *lowest, *sizes, *incomplete, *effect_texts(result)]


def _lowest_means(result: ComparisonResult) -> list[str]:
    """A sentence with the lowest mean loss, which noise may explain."""
    known = [(arm.mean_loss, arm.label) for arm in result.arms if arm.mean_loss is not None]
    if len(known) < 2:
        return []
    (lowest, label), (second, other) = sorted(known)[:2]
    return [
        f"{label} has the lowest mean loss, {nats(lowest)} nats per token; the next is {other} with {nats(second)}."
    ]


def _overlay(result: ComparisonResult, path: Path) -> Overlay:
    """Validation losses, one plot per task and one curve per arm and seed, over the share of the run."""
    records: dict[str, RunRecord] = {}
    for arm in result.arms:
        for run in arm.runs:
            if (path / run.directory).is_dir() and run.state != NOT_STARTED:
                records[run.directory] = read_run(path / run.directory)
    plots = []
    for index, task in enumerate(result.tasks):
        curves = [
            Curve(
                _by_share(records[run.directory], task),
                arm.label,
                group,
                first=run.seed == result.seeds[0],
            )
            for group, arm in enumerate(result.arms)
            for run in arm.runs
            if run.directory in records and run.task in (None, task)
        ]
        plots.append(
            plot(
                f"task-{index}",
                task,
                "Validation loss, nats per token.",
                curves,
                x_title="% of the run's steps",
            )
        )
    several = ", one per seed, the first drawn thick" if len(result.seeds) > 1 else ""
    return Overlay(
        "Validation loss by task",
        f"One plot per task, one color per arm{several}. The axis is the share of a run's steps.",
        legend([arm.label for arm in result.arms if arm.merge is None]),  # merged ones have no curves
        [each for each in plots if each is not None],
    )


def _by_share(run: RunRecord, task: str) -> Series:
    steps = run.plan.get("steps")
    total = steps if isinstance(steps, int) and steps > 0 else max(1, run.last_step)
    series = losses_of_task(thinned(run.valid)[0], task)
    return Series([100 * x / total for x in series.x], series.y)


def _facts(result: ComparisonResult) -> list[tuple[str, str]]:
    facts = [
        ("seeds", ", ".join(str(seed) for seed in result.seeds)),
        ("steps of a model of all tasks", whole(result.steps)),
    ]
    facts += [
        (
            f"arm {arm.label}",
            ", ".join(
                [
                    f"loss {arm.loss['name']}, balancer {arm.balancer['name']}"
                    if arm.merge is None
                    else f"merged: {json.dumps(arm.merge)}, in {', '.join(arm.directories)}",
                    *(f"{key}: {json.dumps(value)}" for key, value in arm.settings.items()),
                ]
            ),
        )
        for arm in result.arms
    ]
    return facts


def _links(result: ComparisonResult, path: Path, beside: Path) -> list[RunLink]:
    links = []
    for arm in result.arms:
        for run in arm.runs:
            label = ", ".join(part for part in (arm.label, run.task, f"seed {run.seed}") if part)
            link = os.path.relpath(path.absolute() / run.directory / "report.html", beside)
            links.append(RunLink(label, run.state, mood(run.state), link))
    return links
