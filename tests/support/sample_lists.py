"""Samples in memory, as the data path gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import mftkit


class SampleList(list[mftkit.Sample]):
    """What the trainer asks of the samples of a split: the same ones in every epoch."""

    def in_epoch(self, epoch: int) -> SampleList:
        del epoch
        return self

    @property
    def task(self) -> NDArray[Any]:
        return np.array([sample.task for sample in self])

    @property
    def lengths(self) -> NDArray[Any]:
        return np.array([len(sample.tokens) for sample in self])

    @property
    def loss_tokens(self) -> NDArray[Any]:
        return self.lengths - 1
