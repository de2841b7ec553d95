"""The softmax over the logits of one chunk of tokens at a time, in place of their logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclass(frozen=True)
class ChunkPlan:
    """How logits are formed: soft_cap * tanh(z / soft_cap), z = scale * (h W^T + bias)."""

    scale: float
    soft_cap: float | None
    chunk: int
    """Tokens at a time."""
    matmul: torch.dtype
    """Of matrix products."""

    @property
    def exact(self) -> torch.dtype:
        """The dtype of logits, softmax and sums over tokens."""
        return torch.float64 if self.matmul == torch.float64 else torch.float32

    def parts(self, tokens: int) -> Iterator[slice]:
        """The chunks of so many tokens."""
        for start in range(0, tokens, self.chunk):
            yield slice(start, min(start + self.chunk, tokens))


class InPlaceSoftmax:
    """One buffer holds logits, then exponentials, then slopes; the next chunk overwrites it.

    Of a chunk only exp(logits - their maximum) is formed: the denominator multiplies rows of H numbers later.
    """

    def __init__(self, hidden: Tensor, matrix: Tensor, bias: Tensor | None, plan: ChunkPlan) -> None:
        """``hidden`` [V, H], ``matrix`` [vocabulary, H] in ``plan.matmul``, ``bias`` [vocabulary]."""
        self._hidden, self._matrix, self._bias, self._plan = hidden, matrix, bias, plan
        self._buffer = hidden.new_empty((min(plan.chunk, len(hidden)), len(matrix)), dtype=plan.exact)
        self._exponentials = self._buffer
        self._cap_slope: Tensor | None = None

    def logits(self, part: slice) -> Tensor:
        """The logits [c, vocabulary] of a chunk, which its softmax and the next chunk overwrite."""
        plan = self._plan
        z = self._buffer[: part.stop - part.start]
        rows = self._hidden[part].to(plan.matmul)
        if plan.matmul == plan.exact:
            torch.mm(rows, self._matrix.t(), out=z)
        else:
            z.copy_(rows @ self._matrix.t())
        if self._bias is not None:
            z.add_(self._bias)
        if plan.scale != 1.0:
            z.mul_(plan.scale)
        if plan.soft_cap is not None:
            z.div_(plan.soft_cap).tanh_().mul_(plan.soft_cap)
        return z

    def logprobs(self, part: slice, target: Tensor, *, slopes: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Log p of the targets [c, 1], the largest logits [c, 1], and the sums of exp(logits - largest) [c, 1].

        ``slopes``: whether ``slope`` will be called for this chunk.
        """
        z = self.logits(part)
        chosen = z.gather(1, target)
        top = z.amax(1, keepdim=True)
        self._cap_slope = self._slope_of_cap(z) if slopes else None
        self._exponentials = z.sub_(top).exp_()
        total = z.sum(1, keepdim=True)
        return (chosen - top).sub_(total.log()), top, total

    def again(self, part: slice, top: Tensor) -> None:
        """Form a chunk again, for its slope; ``top`` as from ``logprobs``."""
        z = self.logits(part)
        self._cap_slope = self._slope_of_cap(z)
        self._exponentials = z.sub_(top).exp_()

    def slope(self, target: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """The slope of -log p at the product h W^T + bias: s [c, vocabulary] and r [c, 1], whose product it is."""
        plan = self._plan
        row = total.reciprocal().mul_(plan.scale)
        slope = self._exponentials.scatter_add_(1, target, -total)
        if self._cap_slope is not None:
            slope.mul_(self._cap_slope)
        if plan.matmul == torch.float16:  # the total may be above its largest number
            slope.div_(total)
            row = row * total
        return slope, row

    def _slope_of_cap(self, logits: Tensor) -> Tensor | None:
        """The slope of the soft cap at these logits after it, None without one."""
        cap = self._plan.soft_cap
        return None if cap is None else (logits / cap).square_().neg_().add_(1.0)
