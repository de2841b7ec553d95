"""The softmax of ``InPlaceSoftmax`` as two kernels that torch.compile makes, for CUDA.

The first reads the products h W^T and keeps three numbers per token; the second reads them and writes the slope in the
dtype of the products. No float32 logits exist. On a CPU the kernels are slower than the operations one by one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from mftkit.training.chunk_softmax import ChunkPlan


class CompiledSoftmax:
    """As ``InPlaceSoftmax``, but the slope is divided by the softmax's denominator."""

    def __init__(self, hidden: Tensor, matrix: Tensor, bias: Tensor | None, plan: ChunkPlan) -> None:
        """``hidden`` [V, H], ``matrix`` [vocabulary, H] in ``plan.matmul``, ``bias`` [vocabulary]."""
        self._hidden, self._matrix, self._bias, self._plan = hidden, matrix, bias, plan
        self._products = hidden.new_empty(0)
        self._top = hidden.new_empty(0)

    def logprobs(self, part: slice, target: Tensor, *, slopes: bool) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """As in ``InPlaceSoftmax``."""
        self._form(part)
        found: tuple[Tensor, Tensor, Tensor] = _compiled(_logprobs)(self._products, target, *self._shape())
        self._top = found[1]
        return found

    def again(self, part: slice, top: Tensor) -> None:
        """As in ``InPlaceSoftmax``."""
        self._form(part)
        self._top = top

    def slope(self, target: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """As in ``InPlaceSoftmax``; in the dtype of the products."""
        slope: Tensor = _compiled(_slope)(self._products, target, self._top, total, *self._shape())
        return slope, torch.full_like(total, self._plan.scale)

    def _form(self, part: slice) -> None:
        self._products = self._hidden[part].to(self._plan.matmul) @ self._matrix.t()

    def _shape(self) -> tuple[Tensor | None, float, float | None, torch.dtype]:
        return self._bias, self._plan.scale, self._plan.soft_cap, self._plan.exact


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once for the process: for the usual chunk, and once more for chunks of any number of tokens."""
    return torch.compile(function)


def _logits(
    products: Tensor, bias: Tensor | None, scale: float, soft_cap: float | None, exact: torch.dtype
) -> Tensor:
    z = products.to(exact)
    if bias is not None:
        z = z + bias
    z = z * scale
    return z if soft_cap is None else torch.tanh(z / soft_cap) * soft_cap


def _logprobs(products: Tensor, target: Tensor, *shape: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Log p of the targets, the largest logits, and the sums of exp(logits - largest): [c, 1] each."""
    z = _logits(products, *shape)
    top = z.amax(1, keepdim=True)
    total = (z - top).exp().sum(1, keepdim=True)
    return z.gather(1, target) - top - total.log(), top, total


def _slope(products: Tensor, target: Tensor, top: Tensor, total: Tensor, *shape: Any) -> Tensor:
    """(softmax - onehot) times the slope of the cap, [c, vocabulary]."""
    z = _logits(products, *shape)
    is_target = torch.arange(z.shape[1], device=z.device) == target
    slope = (z - top).exp() / total - is_target.to(z.dtype)
    _, _, soft_cap, _ = shape
    if soft_cap is not None:
        slope = slope * (1 - (z / soft_cap) ** 2)
    return slope.to(products.dtype)
