"""Puts the attention "varlen" in the place of a loaded model's own, where both give the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mftkit.base.reasons import reason
from mftkit.interfaces.model import VARLEN
from mftkit.models.eval_contexts import evaluation, half_precision
from mftkit.models.model_checks import (
    LENGTHS,
    around_thresholds,
    rounding_limits,
    row_of_samples,
    states_and_gradients,
)
from mftkit.models.native import attention_of
from mftkit.models.varlen_attention import register

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tokenization import Batch


def use_varlen(adapter: ModelAdapter, model: PreTrainedModel, longest: int) -> str:
    """Replace a model's attention in place, unless hidden states or gradients then differ by more than rounding.

    Compared are samples that follow one another in a row with each of them alone under the model's own attention, at
    short lengths and, without gradients, on both sides of every threshold in the config that is below ``longest``
    (tokens of the longest row). On CUDA products are in bfloat16 meanwhile.

    Returns:
        Why the model keeps its own attention; "" if it was replaced.
    """
    own = attention_of(model)
    if VARLEN not in adapter.isolating_attentions:
        return f"{type(adapter).__name__} does not state that it keeps packed samples apart"
    if not model._can_set_attn_implementation():
        return f"{type(model).__name__} computes its attention by itself"
    chunk = getattr(model.config.get_text_config(), "attention_chunk_size", None)
    if chunk is not None and chunk < longest:  # such a length may cost too much to be tried
        return f"its tokens see only those of their chunk of {chunk} tokens"
    register()
    try:
        problem = _replace(adapter, model, around_thresholds(model, longest))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever transformers, the model or the kernel raise
        problem = reason(error)
    if problem:
        model.set_attn_implementation(own)
    return problem


def _replace(adapter: ModelAdapter, model: PreTrainedModel, thresholds: list[tuple[int, int]]) -> str:
    """Replace the attention; returns how the results differ then, "" if they do not."""
    pairs = [LENGTHS, *thresholds]
    expected = [_alone(adapter, model, pair) for pair in pairs]
    model.set_attn_implementation(VARLEN)
    for pair, results in zip(pairs, expected, strict=True):
        if problem := _difference(adapter, model, pair, results):
            return problem
    _run_in_training(adapter, model)
    return ""


def _alone(adapter: ModelAdapter, model: PreTrainedModel, lengths: tuple[int, int]) -> list[Tensor]:
    """The ``_results`` of samples in a row of their own, one after another."""
    first, _ = lengths
    rows = (
        row_of_samples(model, (length,), first=begin)
        for length, begin in zip(lengths, (0, first), strict=True)
    )
    each = [_results(adapter, model, row, with_gradient=lengths == LENGTHS) for row in rows]
    return [torch.cat(parts) for parts in zip(*each, strict=True)]


def _difference(
    adapter: ModelAdapter, model: PreTrainedModel, lengths: tuple[int, int], expected: list[Tensor]
) -> str:
    batch = row_of_samples(model, lengths)
    found = _results(adapter, model, batch, with_gradient=lengths == LENGTHS)
    limits = rounding_limits(found[0].dtype, half=batch.input_ids.device.type == "cuda")
    for (what, most), one, other in zip(limits.items(), found, expected, strict=False):
        error = (one.double() - other.double()).norm(dim=-1) / other.double().norm(dim=-1)
        # Medians: in low precision a router may send single tokens to other experts.
        medians = [part.median() for part in error.split(_parts(lengths))]
        if not torch.stack(medians).max() <= most:  # NaN differs, too
            return f"the {what} of samples of {' and '.join(map(str, lengths))} tokens differ from its own attention's"
    return ""


def _parts(lengths: tuple[int, int]) -> list[int]:
    """The tokens of each part of a row that may differ by itself: both samples, the second up to a threshold and above.

    The threshold is one more than the first sample's tokens.
    """
    first, second = lengths
    below = second if lengths == LENGTHS else min(second, first + 1)
    return [tokens for tokens in (first, below, second - below) if tokens]


def _results(
    adapter: ModelAdapter, model: PreTrainedModel, batch: Batch, *, with_gradient: bool
) -> list[Tensor]:
    """The hidden states [tokens, H], and the gradients of one direction of theirs at the embedding [tokens, E].

    Without gradients for rows as long as those of training: activations may not fit that training recomputes.
    """
    on_cuda = batch.input_ids.device.type == "cuda"
    if with_gradient:
        states, gradients = states_and_gradients(adapter, model, batch, half=on_cuda)
        return [states.flatten(0, 1), gradients.flatten(0, 1)]
    with evaluation(model), half_precision(model, on_cuda), torch.no_grad():
        return [adapter.hidden_states(model, batch).flatten(0, 1)]


def _run_in_training(adapter: ModelAdapter, model: PreTrainedModel) -> None:
    """Run the model as it is trained, with its dropout, which a kernel may lack."""
    half = half_precision(model, next(model.parameters()).device.type == "cuda")
    modes = {module: module.training for module in model.modules()}
    model.train()
    try:
        with half, torch.no_grad():
            adapter.hidden_states(model, row_of_samples(model, LENGTHS))
    finally:
        for module, mode in modes.items():
            module.training = mode
