"""Task vectors that are read tensor by tensor, and what a method makes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mftkit.tools.merging.methods import disjoint_mean, dropped, scaled_sum, trimmed
from mftkit.tools.merging.options import MergeMethod
from mftkit.tools.merging.threshold import threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from mftkit.tools.merging.options import MergeOptions


class TaskVectors(Protocol):
    """The differences of models from their start."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the tensors that differ, or may."""

    @property
    def count(self) -> int:
        """Number of models."""

    def vector(self, name: str, model: int) -> Tensor:
        """A model's part of its task vector, in float32 or wider."""


class Merge:
    """Merges task vectors, one tensor at a time."""

    def __init__(self, vectors: TaskVectors, options: MergeOptions, seed: int) -> None:
        """``seed`` decides what dare drops."""
        self._vectors, self._options, self._seed = vectors, options, seed
        self._factor = options.factor(vectors.count)
        self._thresholds: list[float] = []
        if options.method is MergeMethod.TIES:
            self._thresholds = [self._threshold(model) for model in range(vectors.count)]

    def update(self, name: str) -> Tensor:
        """What is added to a tensor of the start, in float32 or wider."""
        each = [self._vectors.vector(name, model) for model in range(self._vectors.count)]
        if self._options.method is MergeMethod.TIES:
            kept = [trimmed(one, limit) for one, limit in zip(each, self._thresholds, strict=True)]
            return disjoint_mean(kept) * self._factor
        if self._options.method is MergeMethod.DARE:
            density = self._options.kept
            each = [dropped(one, density, self._seed, f"{i} {name}") for i, one in enumerate(each)]
        return scaled_sum(each, self._factor)

    def _threshold(self, model: int) -> float:
        """The smallest magnitude that stays in a model's whole task vector."""

        def parts() -> Iterator[Tensor]:
            return (self._vectors.vector(name, model) for name in self._vectors.names)

        return threshold(parts, self._options.kept)
