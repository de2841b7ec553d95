"""Tells differences between arms from the noise of seeds.

The differences of an arm from the best arm, seed by seed (both had the same seed), are a sample; the arm differs if
their t-interval excludes 0. The intervals hold together with probability LEVEL: with m arms beside the best one, each
has 1 - (1 - LEVEL) / m (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEVEL = 0.95
RULE = (
    "Rule: for each seed, the mean over tasks of an arm's best validation losses minus that of the best arm (lowest "
    "mean rank); an arm differs if the t-interval of these differences excludes 0, all intervals together at "
    f"{LEVEL:.0%} (Bonferroni)."
)


@dataclass(frozen=True)
class Difference:
    """An arm minus the best one, in nats per token; positive if the arm is worse."""

    arm: str
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """One of "worse", "better" and "no difference"."""
        if self.low <= 0 <= self.high:
            return "no difference"
        return "worse" if self.mean > 0 else "better"


def differences(losses: Mapping[str, Sequence[float]], best: str) -> list[Difference]:
    """Compare each arm with ``best``; ``losses`` are by arm, in the order of two or more seeds."""
    others = [arm for arm in losses if arm != best]
    return [_difference(arm, losses[arm], losses[best], len(others)) for arm in others]


def _difference(arm: str, own: Sequence[float], best: Sequence[float], comparisons: int) -> Difference:
    found = [a - b for a, b in zip(own, best, strict=True)]
    mean = fmean(found)
    if len(set(found)) == 1:  # the same for every seed: there is no spread
        return Difference(arm, mean, mean, mean)
    reach = (
        t_quantile(1 - (1 - LEVEL) / comparisons / 2, len(found) - 1) * stdev(found) / math.sqrt(len(found))
    )
    return Difference(arm, mean, mean - reach, mean + reach)


def describe_differences(found: Sequence[Difference], best: str, seeds: int) -> str:
    """The verdict in a sentence or two."""
    if seeds < 2:
        return (
            "One seed: noise was not measured, so no difference can be called more than noise; see --seeds."
        )
    if not found:
        return "There is only one arm: nothing to compare it with."
    by_verdict = {
        verdict: [one.arm for one in found if one.verdict == verdict]
        for verdict in ("no difference", "worse", "better")
    }
    if len(by_verdict["no difference"]) == len(found):
        return f"No difference beyond noise between {best} (lowest mean rank) and any other arm, over {seeds} seeds."
    parts = [
        f"{best} (lowest mean rank) is better beyond noise than {', '.join(by_verdict['worse'])}"
        if by_verdict["worse"]
        else "",
        f"worse beyond noise, by mean loss, than {', '.join(by_verdict['better'])}"
        if by_verdict["better"]
        else "",
        f"no difference beyond noise from {', '.join(by_verdict['no difference'])}"
        if by_verdict["no difference"]
        else "",
    ]
    text = "; ".join(part for part in parts if part)
    return f"{text if by_verdict['worse'] else f'{best} (lowest mean rank): {text}'} ({seeds} seeds)."


def t_quantile(probability: float, freedom: int) -> float:
    """The quantile, above 0.5, of Student's t with a whole number of degrees of freedom.

    By bisection, from the closed form of the distribution (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_below(t: float, freedom: int) -> float:
    """P(T < t) for t of at least 0."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return (1 + inside) / 2
