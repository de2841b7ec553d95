"""The rows of a batch one after another in one row, without padding, for attention to sequences of any length."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from mftkit.interfaces.tokenization import Batch


def join_rows(batch: Batch) -> Batch:
    """The same loss tokens in a batch of one row, with the borders of its sequences (``cu_seqlens``).

    A row whose positions are consecutive is one sequence. A batch stays as it is if it does not say where its padding
    is, or takes a prediction from there.
    """
    ids, mask = batch.input_ids, batch.token_mask
    if mask is None or mask.shape != ids.shape or not mask.flatten()[batch.predictor_index].all():
        return batch
    kept = mask.flatten().nonzero().squeeze(1)
    if len(kept) < 2:  # some attention kernels take a row of one token for a step of generation
        return batch
    place = torch.cumsum(mask.flatten(), 0) - 1
    positions = batch.position_ids
    if positions is None:
        positions = torch.arange(ids.shape[1]).expand_as(ids)
    row = kept // ids.shape[1]
    # The first token of a row may follow padding that is left out.
    begins = _begins(positions).flatten()[kept] | _begins(row.unsqueeze(0), step=0).flatten()
    borders, longest = _borders(begins)
    joined = positions.flatten()[kept].unsqueeze(0)
    return replace(
        batch,
        input_ids=ids.flatten()[kept].unsqueeze(0),
        position_ids=joined,
        predictor_index=place[batch.predictor_index],
        token_mask=torch.ones_like(joined, dtype=torch.bool),
        cu_seqlens=borders,
        max_seqlen=longest,
    )


def sequences_of(position_ids: Tensor) -> tuple[Tensor, int]:
    """Where sequences begin in the flattened positions [B, S], and the end: [sequences + 1] int32.

    As in transformers' masks, a position that does not follow the last one begins a sequence, and so does each row.
    Second: the positions of the longest. On a GPU the host waits for it.
    """
    return _borders(_begins(position_ids).flatten())


def _begins(values: Tensor, step: int = 1) -> Tensor:
    """[B, S] bool: True in the first column, and where a value is not ``step`` more than the last one."""
    return functional.pad(values.diff(dim=-1) != step, (1, 0), value=True)


def _borders(begins: Tensor) -> tuple[Tensor, int]:
    borders = functional.pad(begins.nonzero().squeeze(1), (0, 1), value=len(begins)).int()
    return borders, int(borders.diff().max())
