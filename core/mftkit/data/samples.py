"""One split of a corpus: the samples of all tasks, task by task, as views of memory-mapped tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mftkit.data.tokens.table import joined
from mftkit.interfaces.tokenization import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.data.tokens.table import TokenTable


@dataclass(frozen=True)
class Part:
    """The rows of one task's table that belong to a split."""

    task: int
    table: TokenTable
    rows: NDArray[np.int64]
    names: tuple[str, ...]
    """Names of the table's sources."""


class Samples:
    """The samples of a split, numbered from 0: those of the first task, then those of the second, and so on."""

    is_streamed: ClassVar[bool] = False
    """Whether only one epoch's samples are there at a time."""

    def __init__(self, parts: Sequence[Part], max_length: int, *, read_weights: bool = False) -> None:
        """``read_weights``: whether data rows' weights are read; otherwise every sample has weight 1."""
        self._parts = parts
        self._read_weights = read_weights
        self._variants: dict[int, Samples] = {}
        self._starts = np.cumsum([0, *(len(part.rows) for part in parts)])
        self._max_length = max_length
        sizes = [len(part.rows) for part in parts]
        self.task: NDArray[np.int64] = np.repeat(
            np.array([part.task for part in parts], dtype=np.int64), sizes
        )
        """[n]: task of each sample."""
        self.lengths: NDArray[np.int64] = joined(
            [np.minimum(part.table.lengths[part.rows], max_length) for part in parts]
        )
        """[n]: tokens of each sample, after truncation to ``max_length``."""
        self.loss_tokens: NDArray[np.int64] = joined(
            [part.table.loss_tokens(max_length)[part.rows] for part in parts]
        )
        """[n]: loss tokens of each sample after truncation, at least 1."""
        self.weights: NDArray[np.float64] | None = _weights(parts) if read_weights else None
        """[n]: factor of each sample's tokens in the loss; None if all weights are 1."""

    def __len__(self) -> int:
        return len(self.task)

    def in_epoch(self, epoch: int) -> Samples:
        """Return the samples as an epoch trains them: the same ones, in the variant whose turn it is."""
        variants = [part.table.variants for part in self._parts]
        number = epoch % math.lcm(*variants)
        if number == 0:
            return self
        found = self._variants.get(number)
        if found is None:  # only the latest one is kept
            parts = [
                replace(part, table=part.table.of_variant(number % count))
                for part, count in zip(self._parts, variants, strict=True)
            ]
            found = Samples(parts, self._max_length, read_weights=self._read_weights)
            self._variants = {number: found}
        return found

    @property
    def parts(self) -> Sequence[Part]:
        """The rows of each task's table that the samples are made of, task by task."""
        return self._parts

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index``, truncated to ``max_length``; its tokens are a view of the memory map."""
        part, row = self._place(index)
        tokens, spans = part.table.sample(row)
        tokens = tokens[: self._max_length]
        loss_mask = np.zeros(len(tokens), dtype=np.bool_)
        for start, end in spans.reshape(-1, 2).tolist():
            loss_mask[start:end] = True
        weight = 1.0 if self.weights is None else float(self.weights[index])
        return Sample(index, part.task, tokens, loss_mask, weight)

    def origin(self, index: int) -> str:
        """Return the place of the sample in the data: ``PATH:LINE``."""
        part, row = self._place(index)
        source, line = part.table.origin(row)
        return f"{part.names[source]}:{line}"

    def _place(self, index: int) -> tuple[Part, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        part = self._parts[number]
        return part, int(part.rows[index - self._starts[number]])


def _weights(parts: Sequence[Part]) -> NDArray[np.float64] | None:
    """Return the weights of the rows, [n], or None if all are 1."""
    weights = [part.table.weights[part.rows] for part in parts]
    return np.concatenate(weights) if any((each != 1).any() for each in weights) else None
