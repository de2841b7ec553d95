"""From the metrics of a comparison's runs to its result: losses, ranks, differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from mftkit.runs.record import read_run
from mftkit.runs.series import losses_of_task
from mftkit.tools.compare.effects import twins, weights_moved
from mftkit.tools.compare.made_arms import SOUP
from mftkit.tools.compare.merged_outcomes import merged_arm
from mftkit.tools.compare.metrics import collect_metrics, compare_metrics, values_of
from mftkit.tools.compare.noise import LEVEL, RULE, describe_differences, differences
from mftkit.tools.compare.pairing import paired_tests
from mftkit.tools.compare.result import NOT_STARTED, ArmResult, ComparisonResult, Noise, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mftkit.runs.record import RunRecord
    from mftkit.tools.compare.arms import Arm
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison, PlannedRun

SHOWN = 4
"""Decimals of a loss in nats."""
SAME_START = 2e-3
"""Nats: losses of the same weights on the same samples differ by rounding alone."""
T = TypeVar("T")


@dataclass(frozen=True)
class TaskOutcome:
    """One task in one run."""

    best: float
    """Its lowest validation loss after a step."""
    step: int
    at_model: float | None
    """Its loss at the step of the run's model, the best by the mean over tasks."""
    first: float | None
    """Its loss before the first step."""


def collect_result(
    comparison: Comparison, directory: ComparisonDirectory, *, tests: bool = False
) -> ComparisonResult:
    """All that is known of a comparison, as far as its runs have come; paired tests if ``tests``."""
    tasks = [task.name for task in comparison.base.tasks]
    records = {run.key: read_run(run.spec.output) for run in comparison.runs if _has_begun(run)}
    outcomes = {run.key: task_outcomes(records[run.key]) for run in comparison.runs if run.key in records}
    unranked = [_arm(arm, comparison, directory, tasks, records, outcomes) for arm in comparison.arms]
    unranked += [merged_arm(arm, comparison, directory, tasks) for arm in comparison.made]
    measured = collect_metrics(comparison, records, directory)
    unranked = [replace(arm, metrics=values_of(measured.get(arm.label, []))) for arm in unranked]
    # A soup is one model for all seeds: it has no spread, and no difference by seed.
    ranked = [arm for arm in unranked if arm.is_complete and arm.kind != SOUP]
    ranks = mean_ranks({arm.label: _known_losses(arm) for arm in ranked})
    alike = twins(comparison.arms, comparison.runs, records)
    arms = [replace(arm, mean_rank=ranks.get(arm.label), same_as=alike.get(arm.label)) for arm in unranked]
    return ComparisonResult(
        name=comparison.base.name,
        complete=all(arm.is_complete for arm in arms),
        tasks=tasks,
        seeds=comparison.seeds,
        budget=str(comparison.options.budget),
        steps=comparison.steps,
        single=comparison.single,
        same_start=_same_start(comparison, outcomes),
        arms=arms,
        noise=_noise(arms, len(comparison.seeds)),
        metrics=compare_metrics(arms, measured),
        paired=paired_tests(comparison, records, directory) if tests else [],
    )


def task_outcomes(run: RunRecord) -> dict[str, TaskOutcome]:
    """The outcome of each task in a run that has reached its end; empty for another."""
    if run.end is None or not run.is_complete:
        return {}
    outcomes = {}
    for task in run.tasks:
        series = losses_of_task(run.valid, task)
        at = {int(x): y for x, y in zip(series.x, series.y, strict=True) if y is not None}
        trained = [(y, x) for x, y in at.items() if x > 0]
        if trained:
            at_model = None if run.end.best_step is None else at.get(run.end.best_step)
            outcomes[task] = TaskOutcome(*min(trained), at_model=at_model, first=at.get(0))
    return outcomes


def mean_ranks(losses: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """The mean, over tasks and seeds, of each arm's rank among the arms; equal losses share their ranks' mean.

    Losses that are shown as equal, in nats to four decimals, are equal: a smaller difference is rounding.

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


def _known_losses(arm: ArmResult) -> dict[str, list[float]]:
    return {task: [loss for loss in losses if loss is not None] for task, losses in arm.losses.items()}


def _arm(
    arm: Arm,
    comparison: Comparison,
    directory: ComparisonDirectory,
    tasks: list[str],
    records: dict[str, RunRecord],
    outcomes: dict[str, dict[str, TaskOutcome]],
) -> ArmResult:
    runs = [run for run in comparison.runs if run.arm is arm]

    def outcome(task: str, seed: int) -> TaskOutcome | None:
        for run in runs:
            if run.seed == seed and run.task in (None, task) and run.key in outcomes:
                return outcomes[run.key].get(task)
        return None

    def by_seed(task: str, number: Callable[[TaskOutcome], T | None]) -> list[T | None]:
        """A task's number by seed; None where there is none yet."""
        each = [outcome(task, seed) for seed in comparison.seeds]
        return [None if one is None else number(one) for one in each]

    losses = {task: by_seed(task, lambda one: one.best) for task in tasks}
    means = [_mean([losses[task][i] for task in tasks]) for i in range(len(comparison.seeds))]
    seconds = [
        sum(directory.seconds(run.key) for run in runs if run.seed == seed) for seed in comparison.seeds
    ]
    return ArmResult(
        label=arm.label,
        kind=arm.kind,
        loss=arm.loss,
        balancer=arm.balancer,
        losses=losses,
        at_step={task: by_seed(task, lambda one: one.step) for task in tasks},
        model_losses={task: by_seed(task, lambda one: one.at_model) for task in tasks},
        mean_by_seed=means,
        mean_loss=_mean(means),
        mean_rank=None,
        seconds_by_seed=seconds,
        seconds=_mean(seconds),
        runs=[_run(run, directory, records.get(run.key)) for run in runs],
        settings={setting.key: setting.value for setting in arm.settings},
        steps=None if arm.is_single else runs[0].steps,
        weights_moved=weights_moved(arm, comparison.runs, records),
    )


def _run(run: PlannedRun, directory: ComparisonDirectory, record: RunRecord | None) -> RunResult:
    return RunResult(
        directory=f"runs/{run.key}",
        seed=run.seed,
        task=run.task,
        state=NOT_STARTED if record is None else record.state,
        steps=0 if record is None else record.last_step,
        seconds=directory.seconds(run.key),
        sessions=directory.sessions(run.key),
    )


def _same_start(comparison: Comparison, outcomes: dict[str, dict[str, TaskOutcome]]) -> bool | None:
    """True if all arms of a seed began with the same losses; None where there are not two to compare."""
    starts: dict[tuple[int, str], list[float]] = {}
    for run in comparison.runs:
        if any(setting.key.split(".")[0] == "model" for setting in run.arm.settings):
            continue  # it begins with other weights by intention
        for task, outcome in outcomes.get(run.key, {}).items():
            if outcome.first is not None:
                starts.setdefault((run.seed, task), []).append(outcome.first)
    compared = [losses for losses in starts.values() if len(losses) > 1]
    return all(max(losses) - min(losses) <= SAME_START for losses in compared) if compared else None


def _noise(arms: list[ArmResult], seeds: int) -> Noise:
    complete = [arm for arm in arms if arm.mean_rank is not None]
    best = min(complete, key=lambda arm: (arm.mean_rank or 0, arm.mean_loss or 0)).label if complete else None
    measured = seeds > 1 and len(complete) > 1
    found = (
        differences(
            {arm.label: [loss for loss in arm.mean_by_seed if loss is not None] for arm in complete}, best
        )
        if measured and best is not None
        else []
    )
    return Noise(
        measured=measured,
        level=LEVEL,
        rule=RULE,
        best=best,
        differences=found,
        summary=("No arm is complete yet." if best is None else describe_differences(found, best, seeds)),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
