"""What the runs of a comparison came to: losses, ranks, differences, as compare.json has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mftkit.runs.record import read_run
from mftkit.runs.series import losses_of_task
from mftkit.tools.compare.noise import LEVEL, RULE, differences, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mftkit.runs.record import RunRecord
    from mftkit.tools.compare.arms import Arm
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison, PlannedRun

SHOWN = 4
"""Decimals of a loss in nats."""
SAME_START = 2e-3
"""Nats: losses of the same weights on the same samples differ by rounding alone."""


@dataclass(frozen=True)
class TaskOutcome:
    """One task in one run."""

    best: float
    """Its lowest validation loss after a step."""
    step: int
    at_model: float | None
    """Its loss at the step of the run's result, the best by the mean over tasks."""
    first: float | None
    """Before the first step."""


def document(comparison: Comparison, directory: ComparisonDirectory) -> dict[str, Any]:
    """All that is known of a comparison, as far as its runs have come."""
    tasks = [task.name for task in comparison.base.tasks]
    read = {run.key: read_run(run.spec.output) for run in comparison.runs if _has_begun(run)}
    found = {run.key: task_outcomes(read[run.key]) for run in comparison.runs if run.key in read}
    arms = [_arm(arm, comparison, directory, tasks, read, found) for arm in comparison.arms]
    complete = {arm["label"]: arm["losses"] for arm in arms if _is_complete(arm)}
    ranks = mean_ranks(complete)
    for arm in arms:
        arm["mean_rank"] = ranks.get(arm["label"])
    return {
        "name": comparison.base.name,
        "complete": len(complete) == len(arms),
        "tasks": tasks,
        "seeds": comparison.seeds,
        "budget": str(comparison.asked.budget),
        "steps": comparison.steps,
        "single": comparison.single,
        "same_start": _same_start(comparison, found),
        "arms": arms,
        "noise": _noise(arms, ranks, len(comparison.seeds)),
    }


def task_outcomes(run: RunRecord) -> dict[str, TaskOutcome]:
    """Each task's outcome in a run that has ended well; nothing of another."""
    best_step = run.end.best_step if run.end else None
    if not run.is_complete:
        return {}
    made = {}
    for task in run.tasks:
        series = losses_of_task(run.valid, task)
        at = {int(x): y for x, y in zip(series.x, series.y, strict=True) if y is not None}
        trained = [(y, x) for x, y in at.items() if x > 0]
        if trained:
            made[task] = TaskOutcome(
                *min(trained), at_model=None if best_step is None else at.get(best_step), first=at.get(0)
            )
    return made


def mean_ranks(losses: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """The mean, over tasks and seeds, of each arm's rank among the arms; equal losses share their ranks' mean.

    Losses are equal that are shown as equal, in nats to four decimals: what is less is rounding.

    Args:
        losses: arm to task to losses by seed.
    """
    arms = list(losses)
    if not arms:
        return {}
    tasks = list(losses[arms[0]])
    columns = [
        [round(losses[arm][task][seed], SHOWN) for arm in arms]
        for task in tasks
        for seed in range(len(losses[arms[0]][task]))
    ]
    ranked = [
        [
            sum(other < own for other in column) + (sum(other == own for other in column) + 1) / 2
            for own in column
        ]
        for column in columns
    ]
    return {arm: fmean(row[index] for row in ranked) for index, arm in enumerate(arms)}


def _has_begun(run: PlannedRun) -> bool:
    return (run.spec.output / "metrics.jsonl").is_file()


def _is_complete(arm: dict[str, Any]) -> bool:
    return all(loss is not None for losses in arm["losses"].values() for loss in losses)


def _arm(
    arm: Arm,
    comparison: Comparison,
    directory: ComparisonDirectory,
    tasks: list[str],
    read: dict[str, RunRecord],
    found: dict[str, dict[str, TaskOutcome]],
) -> dict[str, Any]:
    runs = [run for run in comparison.runs if run.arm is arm]

    def each(task: str, what: str) -> list[Any]:
        """A task's figure by seed; None where there is none yet."""
        outcomes = [
            next(
                (
                    found[r.key].get(task)
                    for r in runs
                    if r.seed == seed and r.task in (None, task) and r.key in found
                ),
                None,
            )
            for seed in comparison.seeds
        ]
        return [None if outcome is None else getattr(outcome, what) for outcome in outcomes]

    losses = {task: each(task, "best") for task in tasks}
    by_seed = [_mean([losses[task][i] for task in tasks]) for i in range(len(comparison.seeds))]
    seconds = [
        sum(directory.seconds(run.key) for run in runs if run.seed == seed) for seed in comparison.seeds
    ]
    return {
        "label": arm.label,
        "kind": arm.kind,
        "loss": arm.loss,
        "balancer": arm.balancer,
        "losses": losses,
        "at_step": {task: each(task, "step") for task in tasks},
        "model_losses": {task: each(task, "at_model") for task in tasks},
        "mean_by_seed": by_seed,
        "mean_loss": _mean(by_seed),
        "mean_rank": None,
        "seconds_by_seed": seconds,
        "seconds": _mean(list(seconds)),
        "runs": [_run(run, directory, read.get(run.key)) for run in runs],
    }


def _run(run: PlannedRun, directory: ComparisonDirectory, record: RunRecord | None) -> dict[str, Any]:
    return {
        "directory": f"runs/{run.key}",
        "seed": run.seed,
        "task": run.task,
        "state": "not started" if record is None else record.state,
        "steps": 0 if record is None else record.last_step,
        "seconds": directory.seconds(run.key),
        "sittings": directory.sittings(run.key),
    }


def _same_start(comparison: Comparison, found: dict[str, dict[str, TaskOutcome]]) -> bool | None:
    """Whether all arms of a seed began with the same losses; None where there are not two to compare."""
    starts: dict[tuple[int, str], list[float]] = {}
    for run in comparison.runs:
        for task, outcome in found.get(run.key, {}).items():
            if outcome.first is not None:
                starts.setdefault((run.seed, task), []).append(outcome.first)
    compared = [losses for losses in starts.values() if len(losses) > 1]
    return all(max(losses) - min(losses) <= SAME_START for losses in compared) if compared else None


def _noise(arms: list[dict[str, Any]], ranks: dict[str, float], seeds: int) -> dict[str, Any]:
    complete = {arm["label"]: arm for arm in arms if arm["label"] in ranks}
    best = min(ranks, key=lambda label: (ranks[label], complete[label]["mean_loss"])) if ranks else None
    measured = seeds > 1 and len(complete) > 1
    found = (
        differences({label: arm["mean_by_seed"] for label, arm in complete.items()}, best)
        if measured and best is not None
        else []
    )
    return {
        "measured": measured,
        "level": LEVEL,
        "rule": RULE,
        "best": best,
        "differences": [{**asdict(one), "verdict": one.verdict} for one in found],
        "told": told(found, best, seeds) if best is not None else "No arm is complete yet.",
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
