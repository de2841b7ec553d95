"""The projection of gradients: inner products are kept, seeds decide, and memory changes nothing."""

import numpy as np
import pytest
import torch

from mftkit.tools.affinity import sketch as module
from mftkit.tools.affinity.sketch import CountSketch

SIZES = [300, 1, 4000]


def projected(vectors: torch.Tensor, dimension: int, seed: int) -> np.ndarray:
    """Each row, cut into parameters, projected."""
    sketch = CountSketch(SIZES, dimension, seed, torch.device("cpu"))
    rows = []
    for vector in vectors:
        for number, part in enumerate(vector.split(SIZES)):
            sketch.add(number, part.view(1, -1))
        rows.append(sketch.take().numpy())
    return np.array(rows)


def test_inner_products_are_kept() -> None:
    """Over seeds their mean is the true one, and their spread that of the cited bound."""
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, sum(SIZES), generator=random, dtype=torch.float64)
    vectors[1] += 0.5 * vectors[0]
    vectors[:, 300] = 20.0  # one number with much of the length
    true = (vectors @ vectors.T).numpy()
    dimension, seeds = 256, 300
    found = np.array([(rows := projected(vectors, dimension, seed)) @ rows.T for seed in range(seeds)])
    bound = np.sqrt((true[0, 0] * true[1, 1] + true[0, 1] ** 2) / dimension)
    assert abs(found[:, 0, 1].mean() - true[0, 1]) < 4 * bound / seeds**0.5
    assert 0.5 * bound < found[:, 0, 1].std() < 1.1 * bound
    assert np.abs(found[:, 0, 0] / true[0, 0] - 1).mean() < 0.1


def test_a_seed_gives_the_same_projection_whatever_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.randn(3, sum(SIZES), generator=torch.Generator().manual_seed(1))
    first = projected(vectors, 64, 5)
    assert first.any(axis=1).all()
    assert (projected(vectors, 64, 5) == first).all()
    assert (projected(vectors, 64, 6) != first).any()
    monkeypatch.setattr(module, "KEPT", 0)
    assert (projected(vectors, 64, 5) == first).all(), "drawn again for each gradient"


def test_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The projection is linear, in blocks too, and starts from zero after each take."""
    monkeypatch.setattr(module, "BLOCK", 128)
    one, other = torch.randn(2, sum(SIZES), generator=torch.Generator().manual_seed(2))
    rows = projected(torch.stack([one, other, one + other, one]), 64, 0)
    assert np.allclose(rows[0] + rows[1], rows[2], atol=1e-4)
    assert np.allclose(rows[0], rows[3], atol=1e-6)
