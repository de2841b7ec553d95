"""Checks of a loaded model by running it on a few tokens: properties that no config states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from mftkit.base.reasons import reason
from mftkit.batches.collate import collate
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.eval_contexts import (
    enlarged,
    evaluation,
    half_precision,
    kept_embedding,
    short_window,
    without_flash,
)
from mftkit.models.logits_check import NOT_FINITE
from mftkit.models.native import attention_of, lacks_float32
from mftkit.models.vocabulary import embedding, embedding_rows
from mftkit.plugins import installed
from mftkit.plugins.kinds import TOKENIZATION_MODE
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit.interfaces.model import Head, ModelAdapter
    from mftkit.interfaces.tokenization import Batch

LENGTHS = (5, 7)
"""Tokens of the samples that share a row."""
THRESHOLDS = re.compile(
    r".*(window(_size)?|chunk_size|max_position_embeddings|n_positions|seq_length|seq_len|compressed(_sparse)?_attention)"
)
"""Keys of a config whose value may be a length at which a model changes its arithmetic."""
MOST_WORK = (10**11, 10**13)
"""Parameters times tokens of the longest row that is tried: on a CPU, and elsewhere. It takes seconds."""
NEAR = 3e-5
"""Difference of hidden states that a change of the arithmetic may make near a threshold, where it is small."""
LARGE = 100.0
"""Size of the logits that reveal a soft cap: it changes small logits by less than rounding."""


def check_head(adapter: ModelAdapter, model: PreTrainedModel) -> None:
    """Raise MftError unless the adapter's hidden states and head give the model's own logits.

    Tried on one short row, with the hidden states as they are and enlarged, which reveals a soft cap; without flash
    attention, which needs a GPU and half precision.
    """
    batch = row_of_samples(model, LENGTHS[1:])
    with evaluation(model), without_flash(model), torch.no_grad():
        largest = _compare_head(adapter, model, batch)
        if largest > 0:
            with enlarged(model, LARGE / largest):
                _compare_head(adapter, model, batch)


def check_independence(adapter: ModelAdapter, model: PreTrainedModel, longest: int) -> None:
    """Raise MftError unless a sample's hidden states are the same whatever other rows its batch holds.

    Tried with lengths on both sides of every threshold in the config that is below ``longest`` (tokens of the longest
    row): an ordinary model has no reason to change there, but a rotary scaling that follows the batch does. A threshold
    that would cost more than ``MOST_WORK`` allows is not tried.
    """
    for short, long in around_thresholds(model, longest):
        alone = row_of_samples(model, (short,))
        rows = _rows_of(model, (short, long))
        with (
            evaluation(model),
            half_precision(model, lacks_float32(model)),
            torch.no_grad(),
        ):
            expected = adapter.hidden_states(model, alone)[0]
            found = adapter.hidden_states(model, rows)[0, :short]
        if _differs(found, expected, model, NEAR):
            raise MftError(
                f"{type(model).__name__}: the hidden states of a sample of {short} tokens change if a sample of {long} "
                "tokens is in its batch, so losses would depend on how samples are batched; set max_length to at most "
                f"{short}, or use another model or an adapter that fixes this (model.adapter)"
            )


def check_isolation(adapter: ModelAdapter, model: PreTrainedModel, longest: int = 0) -> None:
    """Raise MftError unless samples that share a row and restart their positions are independent of each other.

    Tried as ``isolation_problem`` does.
    """
    problem = isolation_problem(adapter, model, longest)
    if not problem:
        return
    hint = ""
    if attention_of(model) not in adapter.isolating_attentions and adapter.isolating_attentions:
        hint = f"set model.attention to {' or '.join(adapter.isolating_attentions)}, or "
    raise MftError(
        f"packed samples cannot be isolated in {type(model).__name__}: {problem}; {hint}{_one_per_row_hint()}"
    )


def isolation_problem(adapter: ModelAdapter, model: PreTrainedModel, longest: int = 0) -> str:
    """Return why samples that share a row and restart their positions depend on each other; "" if they do not.

    Tried on two rows of two samples, on the device of training: no gradient of the last sample's hidden states
    reaches the input of another sample, and its states equal those of the sample alone. A sliding window is
    shortened, because a long one would hide what it does at its edge. The states are compared once more with samples on
    both sides of every threshold in the config below ``longest`` (tokens of the longest sample), as in
    ``check_independence``.
    """
    attention = attention_of(model)
    if attention not in adapter.isolating_attentions:
        return f"attention {attention} is not known to keep packed samples apart"
    rows = row_of_samples(model, LENGTHS, rows=2)
    alone = row_of_samples(model, LENGTHS[1:], first=LENGTHS[0])
    with evaluation(model), short_window(model), half_precision(model, lacks_float32(model)):
        try:
            hidden, leaked = _gradient_elsewhere(adapter, model, rows)
            with torch.no_grad():
                expected = adapter.hidden_states(model, alone)[0]
        except (TypeError, ValueError) as error:  # a decoder that takes no position_ids
            return str(error) or type(error).__name__
    if leaked > 0:
        return f"with attention {attention}, samples of one row see each other"
    if _differs(hidden.detach()[-1, LENGTHS[0] :], expected, model):
        return "the hidden states of a sample depend on its position in the row"
    return _problem_at_thresholds(adapter, model, longest)


def _problem_at_thresholds(adapter: ModelAdapter, model: PreTrainedModel, longest: int) -> str:
    for short, long in around_thresholds(model, longest):
        for first, second in ((long, short), (short, long)):
            with evaluation(model), half_precision(model, lacks_float32(model)), torch.no_grad():
                packed = adapter.hidden_states(model, row_of_samples(model, (first, second)))[0, first:]
                expected = adapter.hidden_states(model, row_of_samples(model, (second,), first=first))[0]
            if _differs(packed, expected, model, NEAR):
                return f"the hidden states of a sample of {second} tokens depend on one of {first} tokens in its row"
    return ""


def _differs(found: Tensor, expected: Tensor, model: PreTrainedModel, least: float = 1e-3) -> bool:
    """Return True if hidden states [tokens, H] differ by more than rounding, or by ``least`` where that is more.

    Judged by the median over tokens: in low precision a router may send single tokens to other experts.
    """
    most = tolerance(0.06 if lacks_float32(model) else least, expected)
    difference = (found.double() - expected.double()).norm(dim=-1) / expected.double().norm(dim=-1)
    return not bool(difference.median() <= most)  # NaN differs too


def around_thresholds(model: PreTrainedModel, longest: int) -> list[tuple[int, int]]:
    """Return a length below and one above each threshold in the config that some row exceeds."""
    config = model.config.get_text_config().to_dict()
    size = sum(parameter.numel() for parameter in model.parameters())
    most = MOST_WORK[embedding(model).weight.device.type != "cpu"] // max(1, size)
    found = {value for value in _thresholds(config) if LENGTHS[0] <= value < min(longest, most)}
    # One below: dynamic NTK returns to its first frequencies only there.
    return [(threshold - 1, min(2 * threshold, longest, most)) for threshold in sorted(found)]


def _thresholds(config: Mapping[str, object]) -> Iterator[int]:
    """Yield the lengths at which a model may change its arithmetic, from a config and the objects in it."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _thresholds(value)
        elif isinstance(value, int) and not isinstance(value, bool) and THRESHOLDS.fullmatch(key):
            yield value


def _one_per_row_hint() -> str:
    """Return how to fix it, with the names of the installed modes that put one sample in each row of such a model."""
    names = []
    for name in installed.registry().names(TOKENIZATION_MODE):
        try:
            mode = installed.build(TOKENIZATION_MODE, name, {})
            layout = mode.layout(np.array([1, 1]), np.array([0, 0]), np.array([0, 1]), 8)
        except Exception:  # a broken mode of another package is not worth proposing
            continue
        if len(layout.offsets) == 3 or mode.without_isolation() is not None:
            names.append(name)
    examples = f" ({', '.join(names)})" if names else ""
    return (
        f"use a tokenization mode that puts one sample in each row{examples}, or let the samples of a row see each "
        'other (in a mode that packs: "attention": "shared")'
    )


def full_logits(head: Head, hidden: Tensor) -> Tensor:
    """Return the logits of hidden states [..., H] all at once: [..., vocabulary], float32 or wider."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    weight = head.weight.to(dtype)
    if head.normalized:
        weight = torch.nn.functional.normalize(weight)
    logits = hidden.to(dtype) @ weight.T
    if head.bias is not None:
        logits = logits + head.bias.to(dtype)
    logits = logits * head.scale
    return logits if head.soft_cap is None else torch.tanh(logits / head.soft_cap) * head.soft_cap


def _compare_head(adapter: ModelAdapter, model: PreTrainedModel, batch: Batch) -> float:
    """Return the largest absolute logit."""
    try:
        expected = model(input_ids=batch.input_ids, use_cache=False).logits
    except torch.OutOfMemoryError:
        raise
    except (
        Exception
    ) as error:  # values of a config that do not fit together show when the model is first used
        raise MftError(
            f"model: {type(model).__name__} cannot be run as configured: {reason(error)}"
        ) from error
    if not expected.isfinite().all():
        raise MftError(f"model: the logits of {type(model).__name__} are not finite: {NOT_FINITE}")
    hidden = adapter.hidden_states(model, batch)
    given = full_logits(adapter.head(model), hidden)
    largest = float(expected.abs().max())
    same_shape = given.shape == expected.shape
    difference = float((given - expected.to(given.dtype)).abs().max()) if same_shape else float("inf")
    if not difference <= tolerance(1e-4, hidden, expected) * max(
        largest, 1e-30
    ):  # ``not <=`` refuses NaN too
        raise MftError(
            f"model.adapter: the hidden states and the head of {type(adapter).__name__} do not give the "
            f"logits of {type(model).__name__} (largest difference {difference:.3g}, largest logit {largest:.3g}): "
            "this model needs its own adapter"
        )
    return largest


def states_and_gradients(
    adapter: ModelAdapter, model: PreTrainedModel, batch: Batch, *, half: bool
) -> tuple[Tensor, Tensor]:
    """Return hidden states [B, S, H], and the gradient of one direction of theirs at the embedding [B, S, E].

    With products in bfloat16 if ``half``.
    """
    with (
        evaluation(model),
        half_precision(model, half),
        torch.enable_grad(),
        kept_embedding(model) as kept,
    ):
        hidden = adapter.hidden_states(model, batch)
        (gradient,) = torch.autograd.grad((hidden @ _direction(hidden)).sum(), kept[-1])
    return hidden.detach(), gradient


def _direction(hidden: Tensor) -> Tensor:
    """Return [H] without a pattern: sums and squares of normalized states are constant and have no gradient."""
    return torch.linspace(-1, 1, hidden.shape[-1], device=hidden.device).sin().to(hidden.dtype)


def _gradient_elsewhere(adapter: ModelAdapter, model: PreTrainedModel, batch: Batch) -> tuple[Tensor, float]:
    """Return hidden states, and the largest gradient of the last sample's at the input of any other sample."""
    with torch.enable_grad(), kept_embedding(model) as inputs:
        hidden = adapter.hidden_states(model, batch)
        of_last = hidden[-1, LENGTHS[0] :]
        (gradient,) = torch.autograd.grad((of_last @ _direction(hidden)).sum(), inputs[-1])
    gradient = gradient.reshape(*batch.input_ids.shape, -1)
    gradient[-1, LENGTHS[0] :] = 0
    return hidden, float(gradient.abs().max())


def row_of_samples(model: PreTrainedModel, lengths: tuple[int, ...], rows: int = 1, first: int = 0) -> Batch:
    """Return equal rows of samples of these lengths, on the model's device.

    They are cut from one text, from its token ``first``.
    """
    vocabulary = embedding_rows(model)
    text = (np.arange(first, first + sum(lengths)) * 7 + 3).astype(np.int32) % vocabulary
    pieces = np.split(text, np.cumsum(lengths)[:-1])
    row = tuple(Sample(i, 0, piece, np.ones(len(piece), np.bool_)) for i, piece in enumerate(pieces))
    return collate(MicroBatch((row,) * rows, sum(lengths), 0)).to(embedding(model).weight.device)


def _rows_of(model: PreTrainedModel, lengths: tuple[int, ...]) -> Batch:
    """Return one row per length, each the beginning of the same text, padded on the right."""
    vocabulary = embedding_rows(model)
    text = (np.arange(max(lengths)) * 7 + 3).astype(np.int32) % vocabulary
    rows = tuple((Sample(i, 0, text[:n], np.ones(n, np.bool_)),) for i, n in enumerate(lengths))
    return collate(MicroBatch(rows, max(lengths), 0)).to(embedding(model).weight.device)


def tolerance(least: float, *results: Tensor) -> float:
    """Return the relative difference that rounding in the results' dtypes may make, at least ``least``."""
    return max(least, *(8 * torch.finfo(result.dtype).eps for result in results))


def rounding_limits(dtype: torch.dtype, *, half: bool) -> dict[str, float]:
    """The largest relative differences that rounding explains between kernels that compute the same, by result.

    In 16 bits, eager attention and sdpa differ in SmolLM2-135M (30 layers) by 0.011 in hidden states and by 0.051 in
    gradients (medians over tokens), and samples that see each other by 0.3 and 0.8.

    Args:
        dtype: of the hidden states.
        half: whether products are in bfloat16, whatever the dtype.
    """
    if half or dtype in (torch.bfloat16, torch.float16):
        return {"hidden states": 0.06, "gradients": 0.25}
    return {"hidden states": 1e-3, "gradients": 1e-3}
