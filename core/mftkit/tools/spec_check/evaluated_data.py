"""Checks what evaluations read and decide: the first rows of each file, and the metric of ``training.best_by``."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from mftkit.data.rows.columns import mapped
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.sources import entries, entry_sources
from mftkit.evaluation.best_by import deciding_metrics
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.tools.spec_check.data import MOST_SOURCES, ROWS, is_read_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.data.rows.source import Source
    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.spec import HubDataset, Spec
    from mftkit.spec.positions import Location
    from mftkit.tools.spec_check.findings import Findings


def check_evaluated_data(spec: Spec, findings: Findings) -> None:
    """Check ``tasks[].evaluate.data``, ``evaluation.tasks[].data`` and ``training.best_by``."""
    with findings.guard(("training", "best_by")):
        deciding_metrics(spec)
    for task in tasks_to_evaluate(spec):
        if task.evaluate.data is not None:
            _check(task, entries(task.evaluate.data), findings)


def _check(task: TaskToEvaluate, named: Sequence[str | HubDataset], findings: Findings) -> None:
    at = _location(f"{task.where}.data")
    for number, entry in enumerate(named):
        here = (*at, number) if len(named) > 1 else at
        with findings.guard(here):
            where = ".".join(map(str, here))
            sources = list(entry_sources(entry, where, partial(findings.warn, here)))
            read = [source for source in sources if is_read_here(here, source, findings)]
            renamed = mapped(
                tuple(read), task.columns, f"{task.where}.columns", known_keys=None, checks_use=False
            )
            rows = sum(_count(source, here, findings) for source in renamed[:MOST_SOURCES])
            if not rows and len(read) == len(sources) <= MOST_SOURCES:
                findings.error(here, f"the files contain no rows to evaluate {task.name} on")


def _count(source: Source, here: Location, findings: Findings) -> int:
    """The number of rows that were read, bad ones included."""
    count = 0
    for row in islice(source.rows(), ROWS):
        count += 1
        if not isinstance(row.value, dict):
            what = row.value if isinstance(row.value, BadRow) else "a row must be a JSON object"
            findings.error(here, f"{source.name}:{row.line}: {what}")
    return count


def _location(where: str) -> Location:
    return tuple(int(part) if part.isdigit() else part for part in where.split("."))
