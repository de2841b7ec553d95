"""Packed rows for models that keep the samples of a row apart, one sample per row for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

import mftkit
from mftkit import Layout, TokenizationMode
from mftkit_plugins.tokenization.pack import Pack
from mftkit_plugins.tokenization.padding import DynamicPadding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mftkit import Batch, MicroBatch


class Auto(TokenizationMode):
    """``pack`` with isolated samples; ``dynamic-padding`` if the model cannot isolate them."""

    class Options(mftkit.Options):
        """How samples are packed, or grouped."""

        scope: Literal["mixed", "task"] = "mixed"
        """If samples are packed: mixed: a row may hold samples of several tasks; task: of one task only."""
        group_by_length: int = Field(default=16, ge=0)
        """If each sample is a row: put samples of similar length into runs of this many rows, in random order. 0:
        purely random order."""

    options: Options

    def layout(
        self, lengths: NDArray[np.int64], tasks: NDArray[np.int64], order: NDArray[np.int64], max_length: int
    ) -> Layout:
        """Return packed rows."""
        return self._pack.layout(lengths, tasks, order, max_length)

    def collate(self, samples: MicroBatch) -> Batch:
        """Return rows as long as the longest of them, with positions that restart at each sample."""
        return self._pack.collate(samples)

    def without_isolation(self) -> TokenizationMode:
        """Return the mode for models that cannot isolate."""
        options = DynamicPadding.Options(group_by_length=self.options.group_by_length)
        return DynamicPadding(options, self.tasks)

    def describe(self) -> str:
        """Return that rows hold several samples."""
        return self._pack.describe()

    @property
    def _pack(self) -> Pack:
        return Pack(Pack.Options(scope=self.options.scope), self.tasks)
