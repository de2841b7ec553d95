"""Log-probabilities of target tokens from hidden states and output head, in chunks of tokens.

The logits of a chunk live only while it is processed, so memory is needed for a chunk, never for [tokens, vocabulary].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from mftkit.interfaces.model import Head

LOGITS_IN_CHUNK = 2**25
"""Logits held at once, in two float32 buffers of 128 MiB; small chunks would make matrix products slow."""
FEWEST_TOKENS = 64


def token_logprobs(hidden: Tensor, targets: Tensor, head: Head, chunk: int | None = None) -> Tensor:
    """Log p of each target token, in nats: [V] float32 (float64 if the hidden states are).

    Args:
        hidden: [V, H], the hidden states that predict the tokens.
        targets: [V] int64, token ids.
        head: the output head.
        chunk: tokens at a time; None: as many as a fixed amount of memory holds.

    Matrix products are in the dtype of autocast, or else in the narrower of the dtypes of hidden states and weight;
    everything after them is in float32. With V = 0 the gradients are zeros, not absent, as data parallelism needs.
    """
    weight = functional.normalize(head.weight, dim=-1) if head.normalized else head.weight
    trained = weight.requires_grad or (head.bias is not None and head.bias.requires_grad)
    plan = _Plan(
        scale=head.scale,
        soft_cap=head.soft_cap,
        chunk=chunk or max(FEWEST_TOKENS, LOGITS_IN_CHUNK // weight.shape[0]),
        matmul=_matmul_dtype(hidden, weight),
        early=torch.is_grad_enabled() and hidden.requires_grad and not trained,
    )
    logprobs: Tensor = _TokenLogprobs.apply(hidden, weight, head.bias, targets, plan)  # type: ignore[no-untyped-call]
    return logprobs


@torch.no_grad()
def draw_tokens(hidden: Tensor, head: Head, random: torch.Generator, chunk: int | None = None) -> Tensor:
    """A token [V] int64 drawn from the model's own distribution after each of the hidden states [V, H]."""
    weight = functional.normalize(head.weight, dim=-1) if head.normalized else head.weight
    size = chunk or max(FEWEST_TOKENS, LOGITS_IN_CHUNK // weight.shape[0])
    plan = _Plan(head.scale, head.soft_cap, size, _matmul_dtype(hidden, weight), early=False)
    drawn = torch.empty(len(hidden), dtype=torch.int64, device=hidden.device)
    with torch.autocast(hidden.device.type, enabled=False):
        for part, logits, buffer in _chunks(hidden, weight.to(plan.matmul), head.bias, plan):
            torch.softmax(logits, -1, out=buffer)
            drawn[part] = torch.multinomial(buffer, 1, generator=random).squeeze(1)
    return drawn


@dataclass(frozen=True)
class _Plan:
    """The arguments of the function that are not tensors."""

    scale: float
    soft_cap: float | None
    chunk: int
    matmul: torch.dtype
    early: bool
    """Whether to form the hidden states' gradient in the forward pass. With a frozen head it is a token's incoming
    gradient times a vector that is known by then, so no logits are computed twice."""

    @property
    def exact(self) -> torch.dtype:
        """The dtype of logits, softmax and sums over tokens."""
        return torch.float64 if self.matmul == torch.float64 else torch.float32


def _matmul_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device) and hidden.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    half = {hidden.dtype, weight.dtype} & {torch.bfloat16, torch.float16}
    return half.pop() if len(half) == 1 else torch.promote_types(hidden.dtype, weight.dtype)


class _TokenLogprobs(torch.autograd.Function):
    """With d = softmax(logits) - onehot(target), the gradient of a token's log p at its logits is -d.

    The incoming gradient is one number per token, so it multiplies rows of H numbers, never the logits.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, plan: _Plan
    ) -> Tensor:
        logprobs = hidden.new_empty(len(hidden), dtype=_result_dtype(hidden))
        gradient = torch.empty_like(hidden) if plan.early else None
        with torch.autocast(hidden.device.type, enabled=False):
            matrix = weight.to(plan.matmul)
            for part, logits, buffer in _chunks(hidden, matrix, bias, plan):
                target = targets[part].unsqueeze(1)
                torch.log_softmax(logits, -1, out=buffer)
                logprobs[part] = buffer.gather(1, target).squeeze(1)
                if gradient is not None:
                    slope = _slope(logits, buffer.exp_(), target, plan)
                    gradient[part] = slope.to(plan.matmul) @ matrix
        ctx.plan = plan
        if gradient is not None:
            ctx.save_for_backward(gradient)
        else:
            ctx.save_for_backward(hidden, weight, bias, targets)
        return logprobs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, incoming: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        plan: _Plan = ctx.plan
        factor = incoming.mul(-plan.scale).unsqueeze(1)
        if plan.early:
            (gradient,) = ctx.saved_tensors
            return (gradient * factor).to(gradient.dtype), None, None, None, None
        hidden, weight, bias, targets = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        to_hidden = torch.empty_like(hidden) if needs_hidden else None
        to_weight = torch.zeros_like(weight, dtype=plan.exact) if needs_weight else None
        to_bias = torch.zeros_like(bias, dtype=plan.exact) if needs_bias else None
        with torch.autocast(hidden.device.type, enabled=False):
            matrix = weight.to(plan.matmul)
            for part, logits, buffer in _chunks(hidden, matrix, bias, plan):
                torch.softmax(logits, -1, out=buffer)
                exact_slope = _slope(logits, buffer, targets[part].unsqueeze(1), plan)
                slope = exact_slope.to(plan.matmul)
                if to_hidden is not None:
                    to_hidden[part] = (slope @ matrix) * factor[part]
                if to_weight is not None:
                    _add_product(to_weight, slope.t(), (hidden[part] * factor[part]).to(plan.matmul))
                if to_bias is not None:
                    to_bias.addmv_(exact_slope.t(), factor[part].squeeze(1).to(plan.exact))
        return (
            to_hidden,
            None if to_weight is None else to_weight.to(weight.dtype),
            None if to_bias is None else to_bias.to(bias.dtype),
            None,
            None,
        )


def _result_dtype(hidden: Tensor) -> torch.dtype:
    return torch.float64 if hidden.dtype == torch.float64 else torch.float32


def _chunks(
    hidden: Tensor, matrix: Tensor, bias: Tensor | None, plan: _Plan
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Each chunk's slice, its logits [c, vocabulary] and a buffer of the same size; the next chunk overwrites both."""
    shape = (2, min(plan.chunk, len(hidden)), len(matrix))
    logits, buffer = hidden.new_empty(shape, dtype=plan.exact)
    for start in range(0, len(hidden), plan.chunk):
        part = slice(start, min(start + plan.chunk, len(hidden)))
        z = logits[: part.stop - start]
        rows = hidden[part].to(plan.matmul)
        if plan.matmul == plan.exact:
            torch.mm(rows, matrix.t(), out=z)
        else:
            z.copy_(rows @ matrix.t())
        if bias is not None:
            z.add_(bias)
        if plan.scale != 1.0:
            z.mul_(plan.scale)
        if plan.soft_cap is not None:
            z.div_(plan.soft_cap).tanh_().mul_(plan.soft_cap)
        yield part, z, buffer[: part.stop - start]


def _slope(logits: Tensor, probabilities: Tensor, target: Tensor, plan: _Plan) -> Tensor:
    """The slope of -log p at the logits before scale and cap, without the factor ``scale``; overwrites both tensors."""
    slope = probabilities.scatter_add_(1, target, probabilities.new_full((), -1.0).expand(target.shape))
    if plan.soft_cap is not None:
        slope.mul_(logits.div_(plan.soft_cap).square_().neg_().add_(1.0))
    return slope


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right in place; narrow products are summed over the chunks in the total's wider dtype."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
