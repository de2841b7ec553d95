"""Log-probabilities of target tokens from hidden states and output head, in chunks of tokens.

The logits of a chunk live only while it is processed, so memory is needed for a chunk, never for [tokens, vocabulary].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mftkit.training.chunk_softmax import ChunkPlan, InPlaceSoftmax
from mftkit.training.compiled_softmax import CompiledSoftmax

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit.interfaces.model import Head

LOGITS_IN_CHUNK = 40 * 2**20
"""Logits held at once, in one float32 buffer of 160 MiB; small chunks would make matrix products slow."""
FEWEST_TOKENS = 64
MOST_TOKENS = 1024
"""On a CPU more tokens make matrix products no faster."""
TOLERANCE = 1e-3
"""Of the largest factor: how far an incoming gradient may be from a multiple of the factors that were promised."""


def token_logprobs(
    hidden: Tensor,
    targets: Tensor,
    head: Head,
    chunk: int | None = None,
    factors: Tensor | None = None,
    *,
    compiled: bool = False,
) -> Tensor:
    """Log p of each target token, in nats: [V] float32 (float64 if the hidden states are).

    Args:
        hidden: [V, H], the hidden states that predict the tokens.
        targets: [V] int64, token ids.
        head: the output head.
        chunk: tokens at a time; None: as many as a fixed amount of memory holds.
        factors: [V], if it is known by now: the gradient that will come back to the log-probabilities, or a multiple of
            it. A trained head's gradients are then formed here, so that no logits are computed twice. If another
            gradient comes, the head's gradients become NaN, and the step is refused.
        compiled: compute the softmax by kernels that torch.compile makes (``compiled_softmax``).

    Matrix products are in the dtype of autocast, or else in the narrower of the dtypes of hidden states and weight;
    everything after them is in float32. With V = 0 the gradients are zeros, not absent, as data parallelism needs.
    """
    weight = functional.normalize(head.weight, dim=-1) if head.normalized else head.weight
    trained = weight.requires_grad or (head.bias is not None and head.bias.requires_grad)
    trains = torch.is_grad_enabled() and (trained or hidden.requires_grad)
    plan = _Plan(
        scale=head.scale,
        soft_cap=head.soft_cap,
        chunk=chunk or _chunk_size(weight),
        matmul=_matmul_dtype(hidden, weight),
        early=trains and not trained,
        softmax=CompiledSoftmax if compiled else InPlaceSoftmax,
    )
    known = factors.detach().to(plan.exact) if factors is not None and trains and trained else None
    logprobs: Tensor = _TokenLogprobs.apply(hidden, weight, head.bias, targets, known, plan)  # type: ignore[no-untyped-call]
    return logprobs


@torch.no_grad()
def draw_tokens(hidden: Tensor, head: Head, random: torch.Generator, chunk: int | None = None) -> Tensor:
    """A token [V] int64 drawn from the model's own distribution after each of the hidden states [V, H]."""
    weight = functional.normalize(head.weight, dim=-1) if head.normalized else head.weight
    size = chunk or _chunk_size(weight)
    plan = _Plan(head.scale, head.soft_cap, size, _matmul_dtype(hidden, weight), early=False)
    drawn = torch.empty(len(hidden), dtype=torch.int64, device=hidden.device)
    with torch.autocast(hidden.device.type, enabled=False):
        softmax = InPlaceSoftmax(hidden, weight.to(plan.matmul), head.bias, plan)
        for part in plan.parts(len(hidden)):
            drawn[part] = torch.multinomial(softmax.logits(part).softmax(-1), 1, generator=random).squeeze(1)
    return drawn


def _chunk_size(weight: Tensor) -> int:
    fit = max(FEWEST_TOKENS, LOGITS_IN_CHUNK // weight.shape[0])
    return min(fit, MOST_TOKENS) if weight.device.type == "cpu" else fit


@dataclass(frozen=True)
class _Plan(ChunkPlan):
    """The arguments of the function that are not tensors."""

    early: bool
    """Whether to form the hidden states' gradient in the forward pass. With a frozen head it is a token's incoming
    gradient times a vector that is known by then, so no logits are computed twice."""
    softmax: type[InPlaceSoftmax | CompiledSoftmax] = InPlaceSoftmax


def _matmul_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device) and hidden.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    half = {hidden.dtype, weight.dtype} & {torch.bfloat16, torch.float16}
    return half.pop() if len(half) == 1 else torch.promote_types(hidden.dtype, weight.dtype)


class _TokenLogprobs(torch.autograd.Function):
    """With d = softmax(logits) - onehot(target), the gradient of a token's log p at its logits is -d.

    The incoming gradient is one number per token, so it multiplies rows of H numbers, never the logits. So does the
    denominator of the softmax: of a chunk only exp(logits - their maximum) is formed, in the place of the logits.

    The products with d are made where they cost least: in the forward pass for a frozen head (``early``) and where the
    incoming gradient is known (``factors``), else in the backward pass, which computes the logits again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        factors: Tensor | None,
        plan: _Plan,
    ) -> Tensor:
        logprobs = hidden.new_empty(len(hidden), dtype=_result_dtype(hidden))
        top, total = hidden.new_empty((2, len(hidden), 1), dtype=plan.exact)
        formed = None
        if plan.early or factors is not None:
            formed = _HeadGradients(hidden, weight, bias, plan, ctx.needs_input_grad)
        with torch.autocast(hidden.device.type, enabled=False):
            matrix = weight.to(plan.matmul)
            softmax = plan.softmax(hidden, matrix, bias, plan)
            for part in plan.parts(len(hidden)):
                target = targets[part].unsqueeze(1)
                found, top[part], total[part] = softmax.logprobs(part, target, slopes=formed is not None)
                logprobs[part] = found.squeeze(1)
                if formed is not None:
                    factor = None if factors is None else factors[part].unsqueeze(1)
                    formed.add(part, *softmax.slope(target, total[part]), matrix, factor)
        ctx.plan, ctx.factors = plan, factors
        if formed is None:
            ctx.save_for_backward(hidden, weight, bias, targets, top, total)
        elif plan.early:
            ctx.save_for_backward(formed.results()[0])
        else:
            # Not saved by autograd, which would keep a reference: a parameter without a gradient takes this tensor
            # itself, if no other reference to it is left, and a copy otherwise.
            ctx.formed = formed.results()
        return logprobs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, incoming: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        plan: _Plan = ctx.plan
        if plan.early:
            (gradient,) = ctx.saved_tensors
            return (gradient * incoming.unsqueeze(1)).to(gradient.dtype), None, None, None, None, None
        if ctx.factors is not None:
            multiple = _multiple(incoming, ctx.factors)
            formed, ctx.formed = ctx.formed, None
            to_hidden, to_weight, to_bias = (each if each is None else each.mul_(multiple) for each in formed)
            del formed
            return to_hidden, to_weight, to_bias, None, None, None
        hidden, weight, bias, targets, top, total = ctx.saved_tensors
        sums = _HeadGradients(hidden, weight, bias, plan, ctx.needs_input_grad)
        factor = incoming.unsqueeze(1)
        with torch.autocast(hidden.device.type, enabled=False):
            matrix = weight.to(plan.matmul)
            softmax = plan.softmax(hidden, matrix, bias, plan)
            for part in plan.parts(len(hidden)):
                softmax.again(part, top[part])
                slope, row = softmax.slope(targets[part].unsqueeze(1), total[part])
                sums.add(part, slope, row, matrix, factor[part])
        return *sums.results(), None, None, None


class _HeadGradients:
    """The gradients at hidden states, weight and bias, added up chunk by chunk; those that are not needed are None."""

    def __init__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, plan: _Plan, needed: tuple[bool, ...]
    ) -> None:
        self._plan = plan
        self._inputs = (hidden, weight, bias)
        self._to_hidden = torch.empty_like(hidden) if needed[0] else None
        self._to_weight = torch.zeros_like(weight, dtype=plan.exact) if needed[1] else None
        self._to_bias = torch.zeros_like(bias, dtype=plan.exact) if needed[2] and bias is not None else None

    def add(self, part: slice, slope: Tensor, row: Tensor, matrix: Tensor, factor: Tensor | None) -> None:
        """Add one chunk: the slope of -log p [c, vocabulary], to be multiplied by ``row`` [c, 1].

        ``factor`` [c, 1] is the gradient at the tokens' log-probabilities, None: 1.
        """
        plan = self._plan
        row = -row if factor is None else row * -factor
        narrow = slope.to(plan.matmul)
        if self._to_hidden is not None:
            self._to_hidden[part] = (narrow @ matrix).mul_(row)
        if self._to_weight is not None:
            hidden = self._inputs[0]
            _add_product(self._to_weight, narrow.t(), (hidden[part] * row).to(plan.matmul))
        if self._to_bias is not None:
            self._to_bias.addmv_(slope.t().to(plan.exact), row.squeeze(1).to(plan.exact))

    def results(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The gradients in their inputs' dtypes."""
        _, weight, bias = self._inputs
        return (
            self._to_hidden,
            None if self._to_weight is None else self._to_weight.to(weight.dtype),
            None if self._to_bias is None or bias is None else self._to_bias.to(bias.dtype),
        )


def _result_dtype(hidden: Tensor) -> torch.dtype:
    return torch.float64 if hidden.dtype == torch.float64 else torch.float32


def _multiple(incoming: Tensor, factors: Tensor) -> Tensor:
    """The scalar m with ``incoming`` = m * ``factors``, both [V], on the device; NaN if there is none."""
    if len(incoming) == 0:
        return incoming.new_ones(())
    exact = _result_dtype(factors) if factors.device.type == "mps" else torch.float64
    found, known = incoming.to(exact), factors.to(exact)
    square = known.dot(known)
    multiple = torch.where(square == 0, 0.0, found.dot(known) / square)
    error, largest = (found - multiple * known).abs().amax(), found.abs().amax()
    return torch.where(error <= TOLERANCE * largest, multiple, torch.nan).to(incoming.dtype)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right in place; narrow products are summed over the chunks in the total's wider dtype."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
