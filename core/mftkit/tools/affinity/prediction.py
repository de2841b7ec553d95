"""From the samples' projected gradients to predicted losses of subsets, with intervals, affinities and groupings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.affinity.agreement import agreement
from mftkit.tools.affinity.grouping import best_by_affinity, best_by_losses
from mftkit.tools.affinity.linear_model import predict, quadratic_losses
from mftkit.tools.affinity.prediction_result import GroupingResult, Numbers, SubsetPrediction
from mftkit.tools.affinity.subsets import EXHAUSTIVE, choose_subsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.tools.affinity.grouping import Grouping
    from mftkit.tools.affinity.linear_model import QuadraticLoss
    from mftkit.tools.affinity.measured import MeasuredLoss
    from mftkit.tools.affinity.prediction_result import PredictionSettings
    from mftkit.tools.affinity.sample_gradients import SampleGradients
    from mftkit.tools.affinity.subsets import Subset

    Floats = NDArray[np.float64]

RATIOS = tuple(float(10**exponent) for exponent in np.arange(1, -6.5, -0.5))
"""Ridges that are tried, as multiples of the mean trace of the tasks' curvatures."""
RIDGE_RESAMPLES = 25
"""Bootstrap resamples for the noise of the predicted loss at each of them."""
RESAMPLES, FEWEST_RESAMPLES, SOLUTIONS = 200, 50, 12_000
"""Bootstrap resamples; fewer where they would take more than ``SOLUTIONS`` linear systems."""


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
    fitted, judged = quadratic_losses(train, count), quadratic_losses(valid, count)
    ridge = choose_ridge(train, valid, count, settings.seed)
    subsets = choose_subsets(count, settings.seed)
    losses = predict(fitted, judged, subsets, ridge)
    affinity = mean_affinity(subsets, losses)
    groupings = [
        _grouping(number, subsets, losses, affinity, settings.seed)
        for number in range(1, min(groups, count) + 1)
    ]
    proposed = {group for one in groupings for group in one}
    added = sorted((proposed | {one.subset for one in measured}) - set(subsets))
    if added:
        subsets += added
        losses = np.concatenate([losses, predict(fitted, judged, added, ridge)])
    resampled = _resampled(train, valid, count, subsets, ridge, settings.seed)
    return SubsetPrediction(
        tasks=tasks,
        subsets=subsets,
        before=np.array([task.loss for task in judged]),
        losses=Numbers(losses, resampled.std(0, ddof=1)),
        change=_changes(subsets, losses, resampled),
        affinity=affinity,
        groupings=[_result(one, subsets, losses, resampled) for one in groupings],
        ridge=ridge,
        resamples=len(resampled),
        settings=settings,
        agreement=agreement(tasks, subsets, losses, measured, settings.seed) if measured else None,
    )


def choose_ridge(train: SampleGradients, valid: SampleGradients, tasks: int, seed: int) -> float:
    """The one ridge of all subsets, which stands for the length of training: a run's result is from its best step.

    Of ``RATIOS``, the largest whose predicted loss is not beyond noise above the lowest: within one bootstrap standard
    error of the difference (Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984, section
    3.4.3). The loss is the mean of each task's after training on the task alone and on all.
    """
    subsets = [*((task,) for task in range(tasks)), tuple(range(tasks))]
    fitted, judged = quadratic_losses(train, tasks), quadratic_losses(valid, tasks)
    scale = float(np.mean([np.trace(task.curvature) for task in fitted])) or 1.0
    ridges = [ratio * scale for ratio in RATIOS]

    def losses(fitted: Sequence[QuadraticLoss], judged: Sequence[QuadraticLoss]) -> Floats:
        every = (predict(fitted, judged, subsets, ridge) for ridge in ridges)
        return np.array([(each.diagonal().sum() + each[-1].sum()) / (2 * tasks) for each in every])

    found = losses(fitted, judged)
    best = int(found.argmin())
    random = np.random.default_rng(seed)
    resampled = np.array(
        [losses(_drawn(train, tasks, random), _drawn(valid, tasks, random)) for _ in range(RIDGE_RESAMPLES)]
    )
    errors = (resampled - resampled[:, [best]]).std(0, ddof=1)
    return next(
        ridge for ridge, over, error in zip(ridges, found - found[best], errors, strict=True) if over <= error
    )


def mean_affinity(subsets: Sequence[Subset], losses: Floats) -> Floats:
    """Affinities [tasks, tasks]: the mean predicted loss of the first task over the subsets that hold both."""
    member = np.array([[task in subset for task in range(losses.shape[1])] for subset in subsets], float)
    together = member.T @ member
    return np.asarray(((losses * member).T @ member) / together)


def _grouping(
    number: int, subsets: Sequence[Subset], losses: Floats, affinity: Floats, seed: int
) -> Grouping:
    count = losses.shape[1]
    if count <= EXHAUSTIVE:
        of = dict(zip(subsets, losses, strict=True))
        return best_by_losses(count, number, of.__getitem__)
    alone = np.array([losses[subsets.index((task,)), task] for task in range(count)])
    return best_by_affinity(affinity, alone, number, seed)


def _resampled(
    train: SampleGradients,
    valid: SampleGradients,
    tasks: int,
    subsets: Sequence[Subset],
    ridge: float,
    seed: int,
) -> Floats:
    """Losses [resamples, subsets, tasks] by training and validation samples drawn with replacement in each task."""
    random = np.random.default_rng(seed)
    count = int(np.clip(SOLUTIONS // len(subsets), FEWEST_RESAMPLES, RESAMPLES))
    return np.array(
        [
            predict(_drawn(train, tasks, random), _drawn(valid, tasks, random), subsets, ridge)
            for _ in range(count)
        ]
    )


def _drawn(samples: SampleGradients, tasks: int, random: np.random.Generator) -> list[QuadraticLoss]:
    """The losses of as many samples of each task, drawn with replacement."""
    of_task = [np.flatnonzero(samples.task == task) for task in range(tasks)]
    rows = np.concatenate([random.choice(own, len(own)) for own in of_task])
    return quadratic_losses(samples.of(rows), tasks)


def _changes(subsets: Sequence[Subset], losses: Floats, resampled: Floats) -> Numbers:
    """[subsets]: the mean, over a subset's tasks, of their loss in it minus their loss alone."""
    every = np.concatenate([losses[None], resampled])
    alone = np.stack([every[:, subsets.index((task,)), task] for task in range(losses.shape[1])], 1)
    found = [
        (every[:, number][:, list(subset)] - alone[:, list(subset)]).mean(1)
        for number, subset in enumerate(subsets)
    ]
    changes = np.stack(found, 1)
    return Numbers(changes[0], changes[1:].std(0, ddof=1))


def _result(
    grouping: Grouping, subsets: Sequence[Subset], losses: Floats, resampled: Floats
) -> GroupingResult:
    """A grouping with the mean loss over tasks, and its difference from training all tasks together."""
    every = np.concatenate([losses[None], resampled])
    rows = {task: subsets.index(group) for group in grouping for task in group}
    means = np.mean([every[:, row, task] for task, row in rows.items()], 0)
    differences = means - every[:, subsets.index(tuple(range(losses.shape[1])))].mean(1)
    return GroupingResult(
        grouping, float(means[0]), Numbers(differences[:1], differences[1:].std(ddof=1)[None])
    )
