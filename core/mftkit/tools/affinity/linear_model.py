"""What training would do if the model were linear in its weights: quadratic losses of projected updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.tools.affinity.sample_gradients import SampleGradients

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class QuadraticLoss:
    """A task's loss after a projected update w: loss + slope . w + w . curvature w / 2, in nats per token."""

    loss: float
    slope: Floats
    """[d]."""
    curvature: Floats
    """[d, d], symmetric."""

    def __call__(self, update: Floats) -> float:
        """The loss after an update [d]."""
        return float(self.loss + self.slope @ update + update @ self.curvature @ update / 2)


def quadratic_losses(samples: SampleGradients, tasks: int) -> list[QuadraticLoss]:
    """Each task's loss over its samples' loss tokens, as a quadratic function of the update.

    The logits are taken as linear in the weights (Li, Sharma and Zhang, "Scalable Multitask Learning Using
    Gradient-based Estimation of Task Affinity", 2024), and the cross-entropy of linear logits is expanded to second
    order. Its Hessian is then the Fisher matrix (Martens, "New Insights and
    Perspectives on the Natural Gradient Method", 2020, section 9): the mean over loss tokens of the outer product of a
    token's gradient with itself, for tokens drawn from the model. Drawn tokens have gradients of mean 0 that are
    uncorrelated within a sample, so for gradients r of a sample's mean loss over T drawn tokens it is the mean over
    loss tokens of T r r'. Unlike the gradients of the true tokens, whose outer products are no Hessian away from a
    minimum (Kunstner, Balles and Hennig, "Limitations of the Empirical Fisher Approximation", 2019), it is unbiased.
    """
    found = []
    for task in range(tasks):
        own = samples.task == task
        tokens = samples.tokens[own]
        share = tokens / tokens.sum()
        scaled = samples.drawn[own] * np.sqrt(share * tokens)[:, None]
        found.append(
            QuadraticLoss(
                float(share @ samples.losses[own]), share @ samples.gradients[own], scaled.T @ scaled
            )
        )
    return found


def update_of(losses: Sequence[QuadraticLoss], subset: Sequence[int], ridge: float) -> Floats:
    """The update [d] that training on a subset of tasks makes.

    It minimizes the sum of their losses plus ridge / 2 |w|^2. The sum, not the mean: a task has the same part in every
    subset that holds it, as in training with equal passes over its samples. The ridge stands for the length of
    training.
    """
    hessian = np.sum([losses[task].curvature for task in subset], axis=0)
    hessian[np.diag_indices_from(hessian)] += ridge
    slope = np.sum([losses[task].slope for task in subset], axis=0)
    return np.asarray(np.linalg.solve(hessian, -slope))
