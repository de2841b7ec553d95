"""Which arms are tested against which, on what rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mftkit.evaluation.scoring import build_evaluators
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.interfaces.evaluator import Evaluator
from mftkit.tools.compare.made_arms import SOUP
from mftkit.tools.compare.paired import BOOTSTRAP, MCNEMAR, PairedTest, bootstrap, exact_p, favours, holm
from mftkit.tools.compare.verdict_files import read_verdicts, shared_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.interfaces.evaluator import Verdict
    from mftkit.runs.record import RunRecord
    from mftkit.tools.compare.arms import Arm
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison


def paired_tests(
    comparison: Comparison, records: Mapping[str, RunRecord], directory: ComparisonDirectory
) -> list[PairedTest]:
    """Each other arm against the reference, for each metric of each task, as far as both are complete.

    The reference is the model of all tasks by plain cross-entropy if there is one, else the first arm with one model
    for all tasks.
    """
    places = _Places(comparison, records, directory)
    reference = reference_arm(comparison)
    if reference is None:
        return []
    found: list[PairedTest] = []
    for task in tasks_to_evaluate(comparison.base):
        evaluators = build_evaluators(task)
        given = places.of(reference, task)
        for arm in [*comparison.arms, *comparison.made]:
            own = None if arm is reference else places.of(arm, task)
            if given and own:
                found += task_tests(
                    task, evaluators, (arm.label, own), (reference.label, given), comparison.base.seed
                )
    adjusted = holm([test.p for test in found])
    return [replace(test, p_adjusted=p) for test, p in zip(found, adjusted, strict=True)]


def reference_arm(comparison: Comparison) -> Arm | None:
    """The arm that others are tested against."""
    whole = [arm for arm in comparison.arms if not arm.is_single]
    return next((arm for arm in whole if arm.is_baseline), whole[0] if whole else None)


class _Places:
    """The directories of the last evaluations."""

    def __init__(
        self, comparison: Comparison, records: Mapping[str, RunRecord], directory: ComparisonDirectory
    ) -> None:
        self._comparison, self._records, self._directory = comparison, records, directory

    def of(self, arm: Arm, task: TaskToEvaluate) -> list[Path] | None:
        """By seed; None if one has none, or several models of a seed have been evaluated on the task."""
        if arm.merge is not None:
            merges = [each for each in self._comparison.merges if each.arm is arm]
            places = [self._directory.merges / each.key / "evaluation" for each in merges]
            places = places * len(self._comparison.seeds) if arm.kind == SOUP else places
        elif arm.is_single and task.index is None:
            return None
        else:
            runs = [run for run in self._comparison.runs if run.arm is arm and run.task in (None, task.name)]
            places = []
            for run in runs:
                record = self._records.get(run.key)
                if record is not None and record.is_complete and record.evaluations:
                    step = record.evaluations[-1].step
                    places.append(run.spec.output / "evaluations" / f"step-{step}")
        whole = len(places) == len(self._comparison.seeds)
        return places if whole and all((each / f"{task.name}.jsonl").is_file() for each in places) else None


def task_tests(
    task: TaskToEvaluate,
    evaluators: Mapping[str, Evaluator],
    one: tuple[str, list[Path]],
    other: tuple[str, list[Path]],
    seed: int,
) -> list[PairedTest]:
    """The tests of one arm against another, for all metrics of a task; none if no row is in all files.

    Args:
        task: names the rows.
        evaluators: of the task, by name.
        one: an arm's label, and the directories of its evaluations by seed.
        other: those of the reference.
        seed: decides which rows are drawn.
    """
    read = [[read_verdicts(place, task.name) for place in places] for _label, places in (one, other)]
    found = []
    for name, evaluator in evaluators.items():
        sides = [[by_evaluator.get(name, {}) for by_evaluator in side] for side in read]
        rows = shared_rows([*sides[0], *sides[1]])
        if not rows:
            continue
        for number, metric in enumerate(evaluator.metrics()):
            values = [[[each[row] for row in rows] for each in side] for side in sides]
            summaries = [_summary(evaluator, metric.name, side) for side in values]
            every = np.arange(len(rows))
            passed = [
                _passed(side, summary(every)) if number == 0 else None
                for side, summary in zip(values, summaries, strict=True)
            ]

            def difference(drawn: NDArray[np.int64], summaries: Sequence[Any] = summaries) -> float:
                return float(summaries[0](drawn) - summaries[1](drawn))

            low, high, p = bootstrap(difference, len(rows), seed)
            test = PairedTest(
                task.name, f"{name}/{metric.name}", one[0], other[0], BOOTSTRAP, len(rows), len(sides[0]),
                difference(every), low, high, p,
            )  # fmt: skip
            if passed[0] is not None and passed[1] is not None:
                test = _exact(test, passed[0], passed[1])
            found.append(test)
    return found


def _exact(test: PairedTest, own: NDArray[np.float64], other: NDArray[np.float64]) -> PairedTest:
    """The test with McNemar's p-values; arguments are [seeds, rows, answers], 1 for right ones."""
    better, worse = favours(own.mean(axis=2), other.mean(axis=2))
    pairs = [int((own > other).sum()), int((own < other).sum())] if own.shape == other.shape else None
    return replace(
        test,
        test=MCNEMAR,
        p=exact_p(better, worse),
        favours_arm=better,
        favours_reference=worse,
        p_pairs=None if pairs is None else exact_p(*pairs),
    )


def _passed(side: Sequence[Sequence[Sequence[Verdict]]], metric: float) -> NDArray[np.float64] | None:
    """[seeds, rows, answers]; None unless verdicts are of right or wrong, and the share of right ones is the metric.

    ``metric``, that of all rows, is another number for pass@k with k above 1, say.
    """
    verdicts = [verdict for rows in side for row in rows for verdict in row]
    counts = {len(row) for rows in side for row in rows}
    if any(verdict.passed is None for verdict in verdicts) or len(counts) != 1:
        return None
    right = np.array([[[float(bool(one.passed)) for one in row] for row in rows] for rows in side])
    return right if math.isclose(right.mean(), metric, abs_tol=1e-9) else None


def _summary(
    evaluator: Evaluator[Any], metric: str, side: Sequence[list[list[Verdict]]]
) -> Callable[[NDArray[np.int64]], float]:
    """The metric over rows with these indices, as a mean over seeds; quick where it is a mean over rows."""
    if type(evaluator).summary is Evaluator.summary:
        means = np.array([[np.mean([each.scores[metric] for each in row]) for row in rows] for rows in side])
        by_row = means.mean(axis=0)
        return lambda drawn: float(by_row[drawn].mean())
    return lambda drawn: float(
        np.mean([evaluator.summary([rows[i] for i in drawn.tolist()])[metric] for rows in side])
    )
