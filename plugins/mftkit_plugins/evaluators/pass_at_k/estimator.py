"""The unbiased estimator of pass@k."""

from __future__ import annotations

from math import comb


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Return 1 - C(n-c, k) / C(n, k): the chance that k of n samples, c of them right, hold a right one.

    Chen et al., "Evaluating large language models trained on code" (arXiv 2107.03374), equation 1; in exact integers
    up to the last division.
    """
    return 1.0 - comb(samples - right, k) / comb(samples, k)
