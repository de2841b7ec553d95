"""The metrics of a comparison's last evaluations, by arm, task and seed, and their differences beyond noise."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from mftkit.reporting.lines import EvaluationLine
from mftkit.tools.compare.made_arms import SOUP
from mftkit.tools.compare.merge_record import read_merge
from mftkit.tools.compare.metric_results import MetricDifference, MetricResult
from mftkit.tools.compare.noise import differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mftkit.reporting.lines import MetricPoint
    from mftkit.runs.record import RunRecord
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison
    from mftkit.tools.compare.result import ArmResult

ByTask = dict[str, dict[str, list[float | None]]]
"""Task to metric ("EVALUATOR/METRIC") to values by seed; one value for an arm that is made of all seeds."""


Points = dict[str, dict[str, "MetricPoint"]]
"""By task and metric."""


def collect_metrics(
    comparison: Comparison, records: Mapping[str, RunRecord], directory: ComparisonDirectory
) -> dict[str, list[list[Points]]]:
    """By an arm's label and seed, what each of its models measured in its last evaluation.

    An arm of all seeds' models has one entry instead of one per seed. A run that has not reached its end has none.
    """
    found: dict[str, list[list[Points]]] = {}
    for arm in comparison.arms:
        found[arm.label] = [
            [
                records[run.key].evaluations[-1].tasks
                for run in comparison.runs
                if run.arm is arm and run.seed == seed and _has_ended(records.get(run.key))
            ]
            for seed in comparison.seeds
        ]
    for merge in comparison.merges:
        record = read_merge(directory.merges / merge.key)
        tasks = {} if record is None else _points(record.metrics)
        found.setdefault(merge.arm.label, []).append([tasks] if tasks else [])
    return found


def values_of(measured: Sequence[Sequence[Points]]) -> ByTask:
    """An arm's metrics by task and seed.

    Of several models of a seed that measured the same task, which single models do with tasks that are not trained,
    the mean is taken: the best of them would be known only by these very rows.
    """
    names = _names(measured)
    found: ByTask = {}
    for task, metric in names:
        column = []
        for models in measured:
            values = [points[task][metric].value for points in models if metric in points.get(task, {})]
            known = [value for value in values if value is not None]
            column.append(fmean(known) if known and len(known) == len(values) else None)
        found.setdefault(task, {})[metric] = column
    return found


def compare_metrics(
    arms: Sequence[ArmResult], measured: Mapping[str, Sequence[Sequence[Points]]]
) -> list[MetricResult]:
    """Each metric with its best arm and the differences from it, by the rule that losses are compared with."""
    about: dict[tuple[str, str], MetricPoint] = {}
    for by_seed in measured.values():
        for task, metric in _names(by_seed):
            point = next(p[task][metric] for models in by_seed for p in models if metric in p.get(task, {}))
            about.setdefault((task, metric), point)
    return [_compared(task, metric, point, arms) for (task, metric), point in about.items()]


def _compared(task: str, metric: str, point: MetricPoint, arms: Sequence[ArmResult]) -> MetricResult:
    known: dict[str, list[float]] = {}
    for arm in arms:
        values = arm.metrics.get(task, {}).get(metric, [])
        if values and None not in values and arm.kind != SOUP:
            known[arm.label] = [value for value in values if value is not None]
    sign = -1 if point.higher_is_better else 1
    best = min(known, key=lambda label: sign * fmean(known[label])) if known else None
    found: list[MetricDifference] = []
    if best is not None and len(known[best]) > 1:
        found = [
            MetricDifference(one.arm, one.mean, one.low, one.high, point.higher_is_better)
            for one in differences(known, best)
        ]
    return MetricResult(task, metric, point.higher_is_better, point.scale, best, found)


def _has_ended(record: RunRecord | None) -> bool:
    return record is not None and record.is_complete and bool(record.evaluations)


def _points(metrics: Mapping[str, object]) -> Points:
    return EvaluationLine.from_json({"event": "evaluation", "step": 0, "tasks": metrics}).tasks


def _names(measured: Iterable[Iterable[Points]]) -> list[tuple[str, str]]:
    return list(
        dict.fromkeys(
            (task, metric)
            for models in measured
            for points in models
            for task, metrics in points.items()
            for metric in metrics
        )
    )
