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

    A row whose positions do not restart is one sequence. A batch stays as it is if it does not say where its padding
    is, or takes a prediction from there.
    """
    ids, mask = batch.input_ids, batch.token_mask
    if mask is None or not mask.flatten()[batch.predictor_index].all():
        return batch
    kept = mask.flatten().nonzero().squeeze(1)
    if len(kept) < 2:  # some attention kernels take a row of one token for a step of generation
        return batch
    place = torch.cumsum(mask.flatten(), 0) - 1
    positions = batch.position_ids
    if positions is None:
        positions = torch.arange(ids.shape[1]).expand_as(ids)
    joined = positions.flatten()[kept].unsqueeze(0)
    borders, longest = sequences_of(joined)
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
    """Where sequences begin in flattened positions [B * S] that restart at 0, and the end: [sequences + 1] int32.

    Second: the positions of the longest. On a GPU the host waits for it.
    """
    begins = position_ids.flatten() == 0
    begins[0] = True
    borders = functional.pad(begins.nonzero().squeeze(1), (0, 1), value=len(begins)).int()
    return borders, int(borders.diff().max())
