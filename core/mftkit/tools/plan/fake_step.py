"""A training step on tensors without values, which takes the memory of activations from the model's own operations."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from mftkit.interfaces.tokenization import Batch, MicroBatch, Sample
from mftkit.tools.plan.live_bytes import LiveBytes
from mftkit.tools.plan.sizes import decoder_layers
from mftkit.training.logprob_model import LogprobModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.tools.plan.live_bytes import Event
    from mftkit.tools.plan.outline import Outline

FEW, MORE = 2, 4
"""Decoder layers of the two steps from which the memory of a deep model is extended, as a line through both."""


@dataclass(frozen=True)
class Moment:
    """What is live at one moment of the forward and backward pass, besides weights and optimizer, in bytes."""

    gradients: float
    """Of the trained parameters, if none were there before."""
    activations: float
    casts: float
    """Copies of trained weights in the dtype of the arithmetic, which autocast makes and keeps."""
    logits: float
    """Tensors whose last dimension is the vocabulary."""

    def with_rows(self, factor: float) -> Moment:
        """The moment with a multiple of the packed rows."""
        return replace(self, activations=factor * self.activations)

    def extended(self, other: Moment, factor: float) -> Moment:
        """The moment on the line through this one and that of a deeper model."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Moment(*(max(0.0, a + factor * (b - a)) for a, b in pairs))


def moments(outline: Outline, rows: int, *, fused_dropout: bool) -> tuple[Moment, ...]:
    """The moments of which one has the step's peak: most activations forward, most backward, and near the end.

    The step is run once, by torch's FakeTensorMode, on full rows that are all loss tokens. A model of many layers is
    run with its last few, and each moment is extended linearly to all.

    Args:
        outline: the model.
        rows: packed rows of the forward pass.
        fused_dropout: whether dropout keeps a mask of one byte per number, as on a GPU.
    """
    layers = decoder_layers(outline.tuning.base_model(outline.model))
    depth = len(layers)
    if depth <= MORE + FEW:
        return _step(outline, rows, fused_dropout)
    found = []
    for kept in (FEW, MORE):
        with _shortened(layers, kept):
            found.append(_step(outline, rows, fused_dropout))
    factor = (depth - FEW) / (MORE - FEW)
    return tuple(few.extended(more, factor) for few, more in zip(*found, strict=True))


@contextmanager
def _shortened(layers: nn.ModuleList, kept: int) -> Iterator[None]:
    """The last ``kept`` layers alone: the first ones may differ from most, as in some mixtures of experts."""
    all_layers = layers._modules
    layers._modules = {str(i): layer for i, layer in enumerate(list(all_layers.values())[-kept:])}
    try:
        yield
    finally:
        layers._modules = all_layers


def _step(outline: Outline, rows: int, fused_dropout: bool) -> tuple[Moment, ...]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    batch = full_batch(outline.mode, rows, outline.spec.max_length)
    model = LogprobModel(outline.model, outline.adapter, outline.tuning, outline.precision.autocast)
    base = outline.tuning.base_model(outline.model)
    vocabulary = outline.adapter.head(base).weight.shape[0]
    fake = FakeTensorMode()
    with _fake_experts(), fake, _without_values(model):
        inputs = _as_fake(batch, fake)
        live = LiveBytes(chain(model.parameters(), model.buffers()))
        with live, _fused_dropout(fused_dropout):
            logprobs, auxiliary = model(inputs)
            forward_ends = len(live.events)
            loss = logprobs.sum() if auxiliary is None else logprobs.sum() + auxiliary
            del logprobs, auxiliary
            loss.backward()
        grads = _gradients(model, live)
        second = decoder_layers(base)[1:2]
        of_second = _gradients(second, live) if len(second) else set()
        events = list(live.events)
    return _moments_of(events, forward_ends, grads, of_second, vocabulary)


def _gradients(module: nn.Module, live: LiveBytes) -> set[int | None]:
    """The storages of a module's gradients."""
    return {live.number(p.grad) for p in module.parameters() if p.grad is not None}


def _moments_of(
    events: list[Event],
    forward_ends: int,
    grads: set[int | None],
    of_second: set[int | None],
    vocabulary: int,
) -> tuple[Moment, ...]:
    kinds = np.array([_kind(event, grads, vocabulary) for event in events])
    sizes = np.array([event.bytes for event in events], np.float64)
    series = [np.cumsum(np.where(kinds == kind, sizes, 0)) for kind in range(4)]
    gradients, others = series[0], np.sum(series[1:], axis=0)
    forward = int(np.argmax(others[:forward_ends]))
    backward = forward_ends + int(np.argmax(others[forward_ends:]))
    # When the second layer has its gradients, so that it is the same moment in models of few and of more layers.
    late = max((i for i, event in enumerate(events) if event.storage in of_second), default=backward)
    end = late + int(np.argmax((others + gradients)[late:]))
    return tuple(Moment(*(float(each[i]) for each in series)) for i in (forward, backward, end))


def _kind(event: Event, grads: set[int | None], vocabulary: int) -> int:
    """The field of ``Moment`` that a storage counts in."""
    if event.storage in grads:
        return 0
    if event.is_cast:
        return 2
    return 3 if event.widest == vocabulary else 1


def full_batch(mode: TokenizationMode, rows: int, max_length: int) -> Batch:
    """Full rows of loss tokens: of two samples each if the mode packs samples, otherwise of one."""
    lengths = np.tile([max_length // 2, max_length - max_length // 2], rows).astype(np.int64)
    lengths = lengths[lengths > 0]
    order = np.arange(len(lengths))
    layout = mode.layout(lengths, np.zeros_like(order), order, max_length)
    if len(layout.offsets) - 1 == rows:
        members = [
            layout.samples[begin:end]
            for begin, end in zip(layout.offsets[:-1], layout.offsets[1:], strict=True)
        ]
    else:
        lengths, members = np.full(rows, max_length), [np.array([i]) for i in range(rows)]
    made = tuple(tuple(_sample(int(i), int(lengths[i])) for i in row) for row in members)
    return mode.collate(MicroBatch(made, max_length, 0))


def _sample(index: int, length: int) -> Sample:
    return Sample(index, 0, np.ones(length, np.int32), np.ones(length, np.bool_))


@contextmanager
def _without_values(model: nn.Module) -> Iterator[None]:
    """Within FakeTensorMode: parameters and buffers as fake tensors on the CPU, tied ones once."""
    made: dict[int, torch.Tensor] = {}
    places: list[tuple[dict[str, Any], str, torch.Tensor]] = [
        (held, name, tensor)
        for module in model.modules()
        for held in (module._parameters, module._buffers)
        for name, tensor in held.items()
        if tensor is not None
    ]
    for held, name, tensor in places:
        if id(tensor) not in made:
            empty = torch.empty(tuple(tensor.shape), dtype=tensor.dtype, device="cpu")
            is_parameter = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
        held[name] = made[id(tensor)]
    try:
        yield
    finally:
        for held, name, tensor in places:
            held[name] = tensor


def _as_fake(batch: Batch, fake: Any) -> Batch:
    values = {
        name: fake.from_tensor(value) if isinstance(value, torch.Tensor) else value
        for name, value in vars(batch).items()
    }
    return Batch(**values)


class _GroupedProduct(torch.autograd.Function):
    """Products with stacked experts as torch's grouped_mm makes them, of any dtype, without its checks of dtypes."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Rows [S, in] and weights [experts, in, out] to [S, out]."""
        ctx.save_for_backward(rows if ctx.needs_input_grad[1] else None, weight)
        return (
            rows @ weight[0]
        )  # an operation whose result selective checkpointing keeps, as it does the real one's

    @staticmethod
    def backward(ctx: Any, incoming: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The gradients that are needed."""
        _, weight = ctx.saved_tensors
        needs_rows, needs_weight = ctx.needs_input_grad
        to_rows = incoming.new_empty(len(incoming), weight.shape[1]) if needs_rows else None
        return to_rows, torch.empty_like(weight) if needs_weight else None


def _grouped_product(rows: torch.Tensor, weight: torch.Tensor, offs: torch.Tensor) -> torch.Tensor:
    del offs
    product: torch.Tensor = _GroupedProduct.apply(rows.to(weight.dtype), weight)  # type: ignore[no-untyped-call]
    return product


@contextmanager
def _fake_experts() -> Iterator[None]:
    """Let transformers multiply stacked experts by ``_GroupedProduct``."""
    from transformers.integrations import moe

    original = getattr(moe, "_grouped_mm", None)
    if original is None:  # versions whose experts are modules
        yield
        return
    moe._grouped_mm = _grouped_product  # type: ignore[assignment]
    try:
        yield
    finally:
        moe._grouped_mm = original


@contextmanager
def _fused_dropout(enabled: bool) -> Iterator[None]:
    """Dropout by the operation that GPUs use: its mask has one byte per number, not the dtype of its input."""
    original = nn.functional.dropout
    if enabled:
        nn.functional.dropout = _with_byte_mask  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.functional.dropout = original


def _with_byte_mask(
    x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    del inplace
    return torch.native_dropout(x, p, True)[0] if training and p else x
