"""From the rows of one forward pass to its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from mftkit.interfaces.tokenization import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.interfaces.tokenization import MicroBatch, Sample

    Ints = NDArray[np.int64]

S = TypeVar("S", bound=np.generic)
T = TypeVar("T", bound=np.generic)


def collate(samples: MicroBatch, *, isolated: bool = True, pad_to: int | None = None) -> Batch:
    """The tensors of one forward pass, on the CPU: B rows padded on the right to S positions.

    S is ``pad_to``, or the length of the longest row, rounded up to ``samples.length_step``, and there may be rows of
    padding after the others (``samples.least_rows``). A token is a loss token if its ``loss_mask`` says so and it is
    not its sample's first, whose predecessor would lie in another sample. ``position_ids`` is None if each row is
    plainly causal (one sample per row, or not ``isolated``): no token sees the padding on its right. Otherwise
    positions restart at each sample, and each padding token is a sequence by itself, at position 0.

    A micro-batch without rows, and a row longer than ``pad_to``, raise ValueError: no valid layout makes them.
    """
    if not samples.rows:
        raise ValueError("a micro-batch has at least one row")
    flat = [sample for row in samples.rows for sample in row]
    in_row = np.fromiter((len(row) for row in samples.rows), np.int64, len(samples.rows))
    lengths = np.fromiter((len(sample.tokens) for sample in flat), np.int64, len(flat))
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(len(in_row)), in_row)
    row_lengths = np.bincount(row, weights=lengths, minlength=len(in_row)).astype(np.int64)
    width = _width(row_lengths, pad_to, samples)
    height = max(len(in_row), samples.least_rows)
    cells = _cells(row_lengths, width)
    tokens = _joined([sample.tokens for sample in flat], np.int64)
    input_ids = np.full(height * width, samples.pad_id, np.int64)
    input_ids[cells] = tokens
    token_mask = np.zeros(height * width, np.bool_)
    token_mask[cells] = True
    positions = None
    if isolated and (in_row > 1).any():
        positions = np.zeros_like(input_ids)
        positions[cells] = np.arange(len(tokens)) - np.repeat(starts, lengths)

    in_loss = _loss_tokens(flat, starts[lengths > 0])
    sample = np.repeat(np.arange(len(flat)), lengths)[in_loss]
    kept = np.zeros(len(flat), np.bool_)
    kept[sample] = True
    task = np.fromiter((each.task for each in flat), np.int64, len(flat))
    return Batch(
        input_ids=torch.from_numpy(input_ids.reshape(-1, width)),
        position_ids=None if positions is None else torch.from_numpy(positions.reshape(-1, width)),
        predictor_index=torch.from_numpy(cells[in_loss] - 1),
        targets=torch.from_numpy(tokens[in_loss]),
        task=torch.from_numpy(task[sample]),
        sample=torch.from_numpy((np.cumsum(kept) - 1)[sample]),
        sample_task=torch.from_numpy(task[kept]),
        sample_index=tuple(flat[i].index for i in np.flatnonzero(kept)),
        real_tokens=len(tokens),
        token_mask=torch.from_numpy(token_mask.reshape(-1, width)),
    )


def idle_batch(pad_id: int) -> Batch:
    """A row without loss tokens, for a process that has no micro-batch while others have one.

    It is two tokens long, because some attention kernels take a row of one token for a step of generation.
    """
    nothing = torch.empty(0, dtype=torch.int64)
    return Batch(
        input_ids=torch.full((1, 2), pad_id, dtype=torch.int64),
        position_ids=None,
        predictor_index=nothing,
        targets=nothing,
        task=nothing,
        sample=nothing,
        sample_task=nothing,
        sample_index=(),
        real_tokens=0,
        token_mask=torch.zeros((1, 2), dtype=torch.bool),
    )


def _width(row_lengths: Ints, pad_to: int | None, samples: MicroBatch) -> int:
    longest = max(1, int(row_lengths.max()))
    if pad_to is None:
        rounded = -(-longest // samples.length_step) * samples.length_step
        return max(longest, min(rounded, samples.max_length))
    if longest > pad_to:
        raise ValueError(f"a row of {longest} tokens does not fit into {pad_to} positions")
    return pad_to


def _cells(row_lengths: Ints, width: int) -> Ints:
    """[tokens]: the index of each token, row by row, in the flattened [B * S] positions."""
    begins = np.cumsum(row_lengths) - row_lengths
    shift = np.arange(len(row_lengths)) * width - begins
    cells: Ints = np.arange(row_lengths.sum()) + np.repeat(shift, row_lengths)
    return cells


def _loss_tokens(flat: Sequence[Sample], firsts: Ints) -> Ints:
    """Indices of the loss tokens among all tokens; ``firsts`` are the indices of the samples' first tokens."""
    in_loss = _joined([sample.loss_mask for sample in flat], np.bool_)
    in_loss[firsts] = False
    return np.flatnonzero(in_loss)


def _joined(arrays: list[NDArray[S]], dtype: type[T]) -> NDArray[T]:
    """All arrays in one new array, which is never a view of the token cache."""
    return np.concatenate(arrays, dtype=dtype) if arrays else np.empty(0, dtype)
