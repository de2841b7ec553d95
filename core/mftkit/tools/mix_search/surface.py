"""A quadratic surface over the simplex, fitted to measured points: Scheffé's polynomial of mixture experiments.

y(p) = sum of b_i p_i + sum over i < j of b_ij p_i p_j (Scheffé, 1958): every quadratic function on the simplex has this
form. The loss of a merged model is near it where the models are near each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.tools.mix_search.shares import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mftkit.tools.mix_search.shares import Shares

RIDGE = 1e-6
"""Penalty on the products' coefficients, which decides where there are fewer points than coefficients."""
DRAWS, ROUNDS, SHRINK = 2048, 8, 0.5


def lowest_point(measured: Mapping[Shares, float], draws: np.random.Generator) -> Shares:
    """The point of the simplex at which the surface through the measured values is lowest.

    Points with high values count less: the surface is to be right near the lowest ones.
    """
    points = np.array(list(measured))
    values = np.array(list(measured.values()))
    surface = _fitted(points, values)
    size = points.shape[1]
    best, radius = points[int(values.argmin())], 1.0
    for _ in range(ROUNDS):
        drawn = draws.dirichlet(np.full(size, 0.5), DRAWS)
        tried = np.concatenate(
            [best[None], best + radius * (drawn - best), best + radius * (np.eye(size) - best)]
        )
        best = tried[int((_terms(tried) @ surface).argmin())]
        radius *= SHRINK
    return rounded(best)


def _fitted(points: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the surface by weighted least squares."""
    above = values - values.min()
    typical = float(np.median(above)) or 1.0
    weights = 1 / (1 + above / typical)
    terms = _terms(points)
    linear = points.shape[1]
    ridge = np.full(terms.shape[1], RIDGE)
    ridge[:linear] *= 1e-3
    weighted = terms * weights[:, None]
    found: NDArray[np.float64] = np.linalg.solve(weighted.T @ terms + np.diag(ridge), weighted.T @ values)
    return found


def _terms(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shares and their products by pairs, [points, k (k + 1) / 2]."""
    first, second = np.triu_indices(points.shape[1], 1)
    return np.concatenate([points, points[:, first] * points[:, second]], axis=1)
