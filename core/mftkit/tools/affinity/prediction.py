"""From the samples' projected gradients to predicted losses of subsets, with intervals, affinities and groupings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.affinity.agreement import agreement
from mftkit.tools.affinity.grouping import best_by_affinity, best_by_losses
from mftkit.tools.affinity.influences import Estimates, Predictor
from mftkit.tools.affinity.prediction_result import GroupingResult, Numbers, SubsetPrediction
from mftkit.tools.affinity.subsets import EXHAUSTIVE, choose_subsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.tools.affinity.grouping import Grouping
    from mftkit.tools.affinity.measured import MeasuredLoss
    from mftkit.tools.affinity.prediction_result import PredictionSettings
    from mftkit.tools.affinity.sample_gradients import SampleGradients
    from mftkit.tools.affinity.subsets import Subset

    Floats = NDArray[np.float64]

RATIOS = tuple(float(10**exponent) for exponent in np.arange(1, -6.5, -0.5))
"""Ridges that are tried, as multiples of the mean trace of the tasks' curvatures."""


def prediction(
    train: SampleGradients,
    valid: SampleGradients,
    tasks: tuple[str, ...],
    groups: int,
    settings: PredictionSettings,
    measured: Sequence[MeasuredLoss] = (),
) -> SubsetPrediction:
    """Predict the losses of training on subsets of ``tasks``.

    Args:
        train: samples that the subsets are trained on.
        valid: samples whose losses are predicted.
        tasks: their names.
        groups: the most groups of a proposed grouping.
        settings: of the measurement.
        measured: losses with which the predicted ones are compared.
    """
    count = len(tasks)
    predictor = Predictor(train, valid, count)
    ridge = choose_ridge(predictor, count)
    subsets = choose_subsets(count, settings.seed)
    found = {subset: predictor(subset, ridge) for subset in subsets}
    affinity = mean_affinity(subsets, np.array([found[subset].values for subset in subsets]))
    groupings = [
        _grouping(number, found, affinity, settings.seed) for number in range(1, min(groups, count) + 1)
    ]
    needed = {group for one in groupings for group in one} | {one.subset for one in measured}
    for subset in sorted(needed - set(subsets)):
        subsets.append(subset)
        found[subset] = predictor(subset, ridge)
    losses = Estimates.stack([found[subset] for subset in subsets])
    return SubsetPrediction(
        tasks=tasks,
        subsets=subsets,
        before=predictor.before,
        losses=_numbers(losses),
        change=_numbers(Estimates.stack([_change(subset, found) for subset in subsets])),
        affinity=affinity,
        groupings=[_result(one, found) for one in groupings],
        ridge=ridge,
        settings=settings,
        agreement=agreement(tasks, subsets, losses.values, measured, settings.seed) if measured else None,
    )


def choose_ridge(predictor: Predictor, tasks: int) -> float:
    """The one ridge of all subsets, which stands for the length of training: a run's result is from its best step.

    Of ``RATIOS``, the largest whose predicted loss is not beyond noise above the lowest: within one standard error of
    the difference (Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984, section 3.4.3).
    The loss is the mean of each task's after training on the task alone and on all.
    """

    def loss(ridge: float) -> Estimates:
        alone = [predictor((task,), ridge)[task] for task in range(tasks)]
        together = predictor(tuple(range(tasks)), ridge)
        return Estimates.stack([*alone, *(together[task] for task in range(tasks))]).mean()

    ridges = [ratio * predictor.scale for ratio in RATIOS]
    losses = Estimates.stack([loss(ridge) for ridge in ridges])
    over = losses - losses[int(losses.values.argmin())]
    return next(
        ridge for ridge, value, error in zip(ridges, over.values, over.errors, strict=True) if value <= error
    )


def mean_affinity(subsets: Sequence[Subset], losses: Floats) -> Floats:
    """Affinities [tasks, tasks]: the mean predicted loss of the first task over the subsets that hold both."""
    member = np.array([[task in subset for task in range(losses.shape[1])] for subset in subsets], float)
    together = member.T @ member
    return np.asarray(((losses * member).T @ member) / together)


def _grouping(number: int, found: dict[Subset, Estimates], affinity: Floats, seed: int) -> Grouping:
    count = len(affinity)
    if count <= EXHAUSTIVE:
        return best_by_losses(count, number, lambda subset: found[subset].values)
    alone = np.array([found[task,].values[task] for task in range(count)])
    return best_by_affinity(affinity, alone, number, seed)


def _change(subset: Subset, found: dict[Subset, Estimates]) -> Estimates:
    """The mean, over a subset's tasks, of their loss in it minus their loss alone."""
    return Estimates.stack([found[subset][task] - found[task,][task] for task in subset]).mean()


def _result(grouping: Grouping, found: dict[Subset, Estimates]) -> GroupingResult:
    """A grouping with the mean loss over tasks, and its difference from training all tasks together."""
    every = tuple(sorted(task for group in grouping for task in group))
    apart = Estimates.stack([found[group][task] for group in grouping for task in group]).mean()
    together = Estimates.stack([found[every][task] for task in every]).mean()
    difference = apart - together
    return GroupingResult(
        grouping, float(apart.values), Numbers(difference.values[None], difference.errors[None])
    )


def _numbers(estimates: Estimates) -> Numbers:
    return Numbers(estimates.values, estimates.errors)
