"""Predicted losses with each sample's influence on them, from which any difference of them has a standard error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.affinity.linear_model import quadratic_losses, update_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.tools.affinity.sample_gradients import SampleGradients

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """Numbers [...] that are computed from samples, with the influence [..., samples] of each sample on them.

    The variance of a number is the sum of its squared influences, by the infinitesimal jackknife (Efron, "The
    Jackknife, the Bootstrap and Other Resampling Plans", 1982, chapter 6), which a resampling bootstrap approaches at
    hundreds of times the cost. Influences of a sum or difference are the sums or differences of the influences.
    """

    values: Floats
    influences: Floats

    @property
    def errors(self) -> Floats:
        """Standard errors [...]."""
        return np.asarray(np.sqrt((self.influences**2).sum(-1)))

    def __getitem__(self, index: int) -> Estimates:
        """The numbers at an index of the first axis."""
        return Estimates(np.asarray(self.values[index]), np.asarray(self.influences[index]))

    def __sub__(self, other: Estimates) -> Estimates:
        return Estimates(self.values - other.values, self.influences - other.influences)

    def mean(self) -> Estimates:
        """The mean over the first axis."""
        return Estimates(self.values.mean(0), self.influences.mean(0))

    @staticmethod
    def stack(parts: Sequence[Estimates]) -> Estimates:
        """Estimates along a new first axis."""
        return Estimates(
            np.stack([each.values for each in parts]), np.stack([each.influences for each in parts])
        )


class Predictor:
    """Predicts the losses of validation samples after training on subsets of the tasks."""

    def __init__(self, train: SampleGradients, valid: SampleGradients, tasks: int) -> None:
        self._train, self._valid, self._tasks = train, valid, tasks
        self._fitted, self._judged = quadratic_losses(train, tasks), quadratic_losses(valid, tasks)
        self._shares = [_Shares(samples, tasks) for samples in (train, valid)]

    @property
    def scale(self) -> float:
        """The mean trace of the curvatures of the tasks' training losses: a ridge is a multiple of it."""
        return float(np.mean([np.trace(task.curvature) for task in self._fitted])) or 1.0

    @property
    def before(self) -> Floats:
        """[tasks]: validation losses without an update."""
        return np.array([task.loss for task in self._judged])

    def __call__(self, subset: Sequence[int], ridge: float) -> Estimates:
        """Losses [tasks] after training on a subset, with the influences of the training and validation samples.

        With H w = -s for the subset's regularized Hessian H and slope s, a change of these moves a validation loss L by
        -(dL/dw)' inverse(H) (ds + dH w).
        """
        update = update_of(self._fitted, subset, ridge)
        losses = np.array([task(update) for task in self._judged])
        hessian = np.sum([self._fitted[task].curvature for task in subset], axis=0)
        hessian[np.diag_indices_from(hessian)] += ridge
        slopes = np.array([task.slope + task.curvature @ update for task in self._judged]).T
        towards = np.linalg.solve(hessian, slopes)
        train, valid = self._train, self._valid
        moved = train.gradients @ towards
        moved += (train.tokens * (train.drawn @ update))[:, None] * (train.drawn @ towards)
        moved[~np.isin(train.task, subset)] = 0.0
        own = valid.losses + valid.gradients @ update + valid.tokens * (valid.drawn @ update) ** 2 / 2
        judged = np.zeros((len(own), self._tasks))
        judged[np.arange(len(own)), valid.task] = own
        fitted, measured = self._shares
        return Estimates(losses, np.concatenate([fitted.influences(-moved), measured.influences(judged)]).T)


class _Shares:
    """Each sample's share of its task's loss tokens, for means over tokens."""

    def __init__(self, samples: SampleGradients, tasks: int) -> None:
        self._task, self._tasks = samples.task, tasks
        self._share = samples.tokens / np.bincount(samples.task, samples.tokens, tasks)[samples.task]
        counts = np.bincount(samples.task, minlength=tasks)[samples.task]
        self._factor = self._share * np.sqrt(counts / np.maximum(counts - 1, 1))

    def influences(self, values: Floats) -> Floats:
        """Of samples on the sum over tasks of the means of values [n, k] in a task."""
        means = np.zeros((self._tasks, values.shape[1]))
        np.add.at(means, self._task, self._share[:, None] * values)
        return np.asarray(self._factor[:, None] * (values - means[self._task]))
