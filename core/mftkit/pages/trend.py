"""The course of a series of validation losses: a fall and then perhaps a rise, and the noise about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVIATIONS = 2
"""A difference is more than noise if it exceeds this many standard deviations."""
TOKEN_VARIANCE = 1.0
"""Nats squared: assumed for the difference between the losses of one token at two steps, which no file records. The
loss itself is assumed where it is lower: then most tokens are certain at both steps."""


@dataclass(frozen=True)
class Trend:
    """Losses without their scatter."""

    fit: list[float]
    """The closest series (least squares) that only falls up to some point and only rises from there."""
    scatter: float
    """Standard deviation of the losses about it; 0 if they follow such a course exactly."""


def trend(losses: Sequence[float]) -> Trend:
    """The course of one or more losses.

    >>> trend([3.0, 2.0, 1.0, 2.0])
    Trend(fit=[3.0, 2.0, 1.0, 2.0], scatter=0.0)
    """
    falling = _errors(losses)
    rising = _errors(losses[::-1])[::-1]
    errors = [left + right for left, right in zip(falling, rising, strict=True)]
    split = max(i for i, error in enumerate(errors) if error <= min(errors) + 1e-12)
    blocks = [*_blocks(losses[:split])[0], *_blocks(losses[split:][::-1])[0][::-1]]
    fit = [mean for mean, count in blocks for _ in range(count)]
    freedom = len(losses) - len(blocks)
    return Trend(fit, math.sqrt(max(0.0, errors[split]) / freedom) if freedom else 0.0)


def noise(scatter: float, validations: int, loss: float, tokens: int) -> float:
    """The largest difference between two validations on the same tokens that may be noise, in nats per token.

    Args:
        scatter: of the validations about their trend.
        validations: number of them; the lowest of many is low by chance, by about sqrt(2 ln n) scatters.
        loss: the lowest of them.
        tokens: loss tokens of the validation set; 0: not known, only the scatter counts.
    """
    sampling = min(TOKEN_VARIANCE, max(loss, 0.0)) / tokens if tokens else 0.0
    chance = math.sqrt(2 * math.log(max(2, validations)))
    return math.hypot(DEVIATIONS * math.sqrt(sampling), (DEVIATIONS + chance) * scatter)


def _errors(losses: Sequence[float]) -> list[float]:
    """Sums of squares about the closest series that never rises, for the first 0, 1, ... losses."""
    return _blocks(losses)[1]


def _blocks(losses: Sequence[float]) -> tuple[list[tuple[float, int]], list[float]]:
    """The levels of the closest series that never rises, each with its length, and the errors of ``_errors``.

    Neighbors in the wrong order are pooled (Barlow et al., "Statistical Inference under Order Restrictions", 1972).
    """
    blocks: list[tuple[float, int]] = []
    error, errors = 0.0, [0.0]
    for loss in losses:
        blocks.append((loss, 1))
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (mean, count), (before, earlier) = blocks.pop(), blocks.pop()
            both = earlier + count
            error += earlier * count / both * (mean - before) ** 2
            blocks.append(((before * earlier + mean * count) / both, both))
        errors.append(error)
    return blocks, errors
