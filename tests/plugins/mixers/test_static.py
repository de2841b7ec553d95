"""The static mixers draw what the first versions drew: their formula, written down again, gives equal counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mftkit
from mftkit.data.mixing import apportion, mixture
from mftkit.data.samples import Samples
from mftkit.spec import MixingSpec


class Counted:
    """What mixing reads of samples: the task and the loss tokens of each."""

    def __init__(self, counts: list[int], seed: int) -> None:
        random = np.random.default_rng(seed)
        self.task = np.repeat(np.arange(len(counts)), counts)
        self.loss_tokens = random.integers(1, 900, len(self.task))

    def __len__(self) -> int:
        return len(self.task)


def first_version(mixing: dict[str, Any], names: list[str], samples: Counted) -> tuple[int, ...]:
    counts = np.bincount(samples.task).astype(np.float64)
    tokens = np.bincount(samples.task, samples.loss_tokens)
    sizes = counts if mixing.get("by", "samples") == "samples" else tokens
    if "proportions" in mixing:
        parts = np.array([mixing["proportions"][name] for name in names], np.float64)
    else:
        powers = np.log(sizes) / mixing["temperature"]
        parts = np.maximum(np.exp(powers - powers.max()), 1e-300)
    if mixing.get("by") == "tokens":
        parts = parts * counts / tokens
    return apportion(parts, mixing.get("epoch_samples") or len(samples))


@pytest.mark.parametrize("by", ["samples", "tokens"])
@pytest.mark.parametrize("epoch_samples", [None, 1009])
@pytest.mark.parametrize(
    "way", [{"temperature": 1.7}, {"temperature": 1e-4}, {"proportions": {"a": 0.3, "b": 0, "c": 1 / 7}}]
)
def test_the_counts_of_the_first_versions(way: dict[str, Any], by: str, epoch_samples: int | None) -> None:
    names = ["a", "b", "c"]
    for seed in range(5):
        counted: Any = Counted([811, 97, 13 + seed], seed)
        samples: Samples = counted
        tasks = [
            mftkit.TaskInfo(name, samples=int(count), tokens=int(tokens))
            for name, count, tokens in zip(
                names, np.bincount(counted.task), np.bincount(counted.task, counted.loss_tokens), strict=True
            )
        ]
        given = {**way, "by": by, "epoch_samples": epoch_samples}
        made = mixture(MixingSpec.model_validate(given), tasks, samples, seed)
        assert made.draws == first_version(given, names, counted)
