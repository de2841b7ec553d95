"""The k-th largest magnitude, found in parts, is that of a sort of all numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mftkit.tools.merging.threshold import threshold


@pytest.mark.parametrize("density", [1e-9, 0.2, 0.37, 1.0])
def test_it_is_the_magnitude_at_which_a_sort_would_cut(density: float) -> None:
    random = np.random.default_rng(0)
    numbers = np.concatenate([random.normal(size=4000) * 10.0 ** random.integers(-12, 12, 4000), [0.0, -0.0]])
    parts = [torch.from_numpy(part).float() for part in np.array_split(numbers, 7)]
    found = threshold(lambda: iter(parts), density)
    ordered = np.sort(np.abs(numbers.astype(np.float32)))[::-1]
    assert found == ordered[max(1, round(density * len(numbers))) - 1]


def test_equal_magnitudes_stay_together() -> None:
    numbers = torch.tensor([3.0, -2.0, 2.0, 2.0, 1.0])
    assert threshold(lambda: iter([numbers[:2], numbers[2:]]), 0.4) == 2.0
