"""The papers' formulas in float64, with nothing but numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def ties(vectors: Sequence[Any], density: float, weight: float) -> Any:
    """Algorithm 1 of arXiv 2306.01708 on whole task vectors, coordinate by coordinate."""
    trimmed = []
    for vector in vectors:
        kept = np.argsort(-np.abs(vector), kind="stable")[: max(1, round(density * len(vector)))]
        one = np.zeros_like(vector)
        one[kept] = vector[kept]
        trimmed.append(one)
    merged = np.zeros_like(vectors[0])
    for p in range(len(merged)):
        values = [one[p] for one in trimmed]
        positive = sum(value for value in values if value > 0)
        negative = -sum(value for value in values if value < 0)
        sign = 1 if positive > negative else -1
        agreeing = [value for value in values if value * sign > 0]
        merged[p] = np.mean(agreeing) if agreeing else 0.0
    return weight * merged


def flat(tensors: dict[str, Any], names: Sequence[str]) -> Any:
    """Tensors one after the other, in float64."""
    return np.concatenate([tensors[name].double().numpy().ravel() for name in names])
