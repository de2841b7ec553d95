"""Shares by the tasks' sizes, in samples or in loss tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    import mftkit

LEAST = 1e-300
"""Smallest share of a task by temperature, so that no task is left out."""


def by_temperature(
    tasks: tuple[mftkit.TaskInfo, ...], temperature: float, by: Literal["samples", "tokens"]
) -> NDArray[np.float64]:
    """Return shares of the samples [tasks]: proportional to size ** (1 / temperature) in the unit ``by``."""
    sizes = np.array([task.samples if by == "samples" else task.tokens for task in tasks], np.float64)
    powers = np.log(sizes) / temperature
    return as_samples(np.maximum(np.exp(powers - powers.max()), LEAST), tasks, by)


def as_samples(
    parts: NDArray[np.float64], tasks: tuple[mftkit.TaskInfo, ...], by: Literal["samples", "tokens"]
) -> NDArray[np.float64]:
    """Return ``parts`` [tasks] as shares of samples: as many as hold that many tokens on average."""
    if by == "samples":
        return parts
    counts = np.array([task.samples for task in tasks], np.float64)
    return parts * counts / np.array([task.tokens for task in tasks], np.float64)
