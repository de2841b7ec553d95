"""Validation losses of runs that trained on subsets of the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.json_diff import differing_paths
from mftkit.runs.record import read_run
from mftkit.runs.series import losses_of_task
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.record import RunRecord
    from mftkit.tools.affinity.subsets import Subset

METRICS = "metrics.jsonl"
FREE = ("name", "output", "seed")
"""Keys of the spec in which runs of one subset may differ without a warning."""


@dataclass(frozen=True)
class MeasuredLoss:
    """A task's validation loss after training on a subset."""

    subset: Subset
    task: int
    loss: float
    """Lowest after a step, in nats per token; mean over the runs."""
    runs: int
    steps: float
    """Steps of training; mean over the runs."""


def measured_losses(paths: Sequence[Path], tasks: Sequence[str], reporter: Reporter) -> list[MeasuredLoss]:
    """The losses of all runs in ``paths``: directories of runs, of comparisons, or any that hold such.

    Runs of the same subset are averaged, as those of several seeds; a warning says in what else they differ.

    Raises:
        MftError: a directory holds no run that has ended, or a run has a task that is not in ``tasks``.
    """
    runs: dict[Subset, list[RunRecord]] = {}
    for run in _ended([file for path in paths for file in _run_directories(path)], reporter):
        runs.setdefault(_subset(run, tasks), []).append(run)
    if not runs:
        raise MftError("--measured: no run has ended; wait for one, or name other directories")
    found = []
    for subset, same in sorted(runs.items(), key=lambda one: (len(one[0]), one[0])):
        _warn_differences(same, reporter)
        steps = sum(run.last_step for run in same) / len(same)
        for task in subset:
            losses = [loss for run in same if (loss := _lowest(run, tasks[task])) is not None]
            if losses:
                found.append(MeasuredLoss(subset, task, sum(losses) / len(losses), len(losses), steps))
    return found


def _run_directories(path: Path) -> list[Path]:
    directories = sorted({file.parent for file in path.rglob(METRICS)}) if path.is_dir() else []
    if not directories:
        raise MftError(
            f"--measured: {path} holds no run; give the directory of a run (with {METRICS}) or of a comparison"
        )
    return directories


def _ended(directories: Sequence[Path], reporter: Reporter) -> list[RunRecord]:
    records = [read_run(path) for path in dict.fromkeys(path.resolve() for path in directories)]
    unfinished = [str(run.path) for run in records if not run.is_complete]
    if unfinished:
        more = f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
        reporter.warn(f"--measured: left out, since they have not ended: {', '.join(unfinished[:3])}{more}")
    return [run for run in records if run.is_complete]


def _subset(run: RunRecord, tasks: Sequence[str]) -> Subset:
    unknown = [name for name in run.tasks if name not in tasks]
    if unknown:
        raise MftError(
            f"--measured: {run.path} trains {', '.join(unknown)}, which SPEC does not have; it has {', '.join(tasks)}"
        )
    return tuple(sorted(tasks.index(name) for name in run.tasks))


def _lowest(run: RunRecord, task: str) -> float | None:
    """A task's lowest validation loss after a step: of the step whose weights a user would take for it."""
    series = losses_of_task(run.valid, task)
    losses = [y for x, y in zip(series.x, series.y, strict=True) if x > 0 and y is not None]
    return min(losses, default=None)


def _warn_differences(runs: Sequence[RunRecord], reporter: Reporter) -> None:
    differing: set[str] = set()
    for run in runs[1:]:
        differing |= {path.split(".")[0] for path in differing_paths(_settings(runs[0]), _settings(run))}
    if differing:
        reporter.warn(
            f"--measured: {len(runs)} runs of the tasks {', '.join(runs[0].tasks)} are averaged, but they differ in "
            f"{', '.join(sorted(differing))}; name the directories of one way of training to use it alone"
        )


def _settings(run: RunRecord) -> JsonObject:
    return {key: value for key, value in run.spec.items() if key not in FREE}
