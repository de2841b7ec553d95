"""The k-th largest magnitude of many numbers that are never in memory at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

_HALF = 16
"""Bits of a magnitude that each pass looks at: positive floats are ordered as their bits are."""


def threshold(parts: Callable[[], Iterable[Tensor]], density: float) -> float:
    """The smallest magnitude among the share ``density`` of the numbers that are largest in magnitude.

    Exact, in two passes: one counts the upper half of the numbers' bits, one the lower half of those that remain.

    Args:
        parts: makes an iterator over all numbers, in tensors that are rounded to float32; it is called twice.
        density: above 0, at most 1; at least one number is kept.
    """
    upper = torch.zeros(1 << (31 - _HALF), dtype=torch.int64)
    for part in parts():
        upper += torch.bincount(_bits(part) >> _HALF, minlength=len(upper))
    keep = max(1, round(density * int(upper.sum())))
    first, left = _reached(upper, keep)
    lower = torch.zeros(1 << _HALF, dtype=torch.int64)
    for part in parts():
        bits = _bits(part)
        lower += torch.bincount(bits[bits >> _HALF == first] & ((1 << _HALF) - 1), minlength=len(lower))
    second, _left = _reached(lower, left)
    found = torch.tensor((first << _HALF) | second, dtype=torch.int32).view(torch.float32)
    return float(found)


def _bits(part: Tensor) -> Tensor:
    return part.float().abs().contiguous().view(torch.int32).flatten()


def _reached(counts: Tensor, keep: int) -> tuple[int, int]:
    """The largest index from which on there are ``keep`` numbers, and how many of these are at the index itself."""
    above = counts.flip(0).cumsum(0)
    position = int(torch.searchsorted(above, keep))
    before = int(above[position - 1]) if position else 0
    return len(counts) - 1 - position, keep - before
