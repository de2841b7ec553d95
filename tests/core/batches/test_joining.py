"""Rows one after another in one row: the same tokens and predictions, without padding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mftkit.batches.collate import collate
from mftkit.batches.joining import join_rows, sequences_of
from mftkit.interfaces.tokenization import Batch, MicroBatch, Sample

LENGTHS = ((5, 3), (4,), (1, 2, 6))


def rows(lengths: tuple[tuple[int, ...], ...] = LENGTHS) -> MicroBatch:
    draw = np.random.default_rng(0)
    number = iter(range(100))
    made = tuple(
        tuple(
            Sample(next(number), 0, draw.integers(3, 90, n).astype(np.int32), draw.random(n) < 0.7)
            for n in row
        )
        for row in lengths
    )
    return MicroBatch(made, 32, 0)


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("pad_to", [None, 20])
def test_tokens_and_predictions_are_the_same(isolated: bool, pad_to: int | None) -> None:
    given = rows()
    plain = collate(given, isolated=isolated, pad_to=pad_to)
    joined = join_rows(plain)
    tokens = [token for row in given.rows for sample in row for token in sample.tokens.tolist()]
    assert joined.input_ids.tolist() == [tokens]
    before, after = plain.input_ids.flatten(), joined.input_ids.flatten()
    assert len(plain.targets) > 5
    assert after[joined.predictor_index].tolist() == before[plain.predictor_index].tolist()
    assert after[joined.predictor_index + 1].tolist() == plain.targets.tolist() == joined.targets.tolist()
    assert joined.real_tokens == plain.real_tokens == joined.input_ids.numel()
    assert joined.token_mask is not None
    assert joined.token_mask.all()


@pytest.mark.parametrize(
    ("isolated", "lengths"), [(True, [5, 3, 4, 1, 2, 6]), (False, [8, 4, 9])], ids=["isolated", "shared"]
)
def test_sequences_are_the_samples_or_rows_that_share_attention(isolated: bool, lengths: list[int]) -> None:
    joined = join_rows(collate(rows(), isolated=isolated))
    assert joined.cu_seqlens is not None
    assert joined.cu_seqlens.dtype == torch.int32
    assert joined.cu_seqlens.tolist() == [0, *np.cumsum(lengths).tolist()]
    assert joined.max_seqlen == max(lengths)
    assert joined.position_ids is not None
    assert joined.position_ids.tolist() == [[i for n in lengths for i in range(n)]]


def test_padding_is_a_sequence_of_one_position_where_rows_are_not_joined() -> None:
    batch = collate(rows(((2, 1), (2,))), isolated=True)
    assert batch.position_ids is not None
    borders, longest = sequences_of(batch.position_ids)
    assert borders.tolist() == [0, 2, 3, 5, 6]
    assert longest == 2


def test_a_batch_that_hides_its_padding_stays_as_it_is() -> None:
    plain = collate(rows())
    hidden = dataclasses.replace(plain, token_mask=None)
    assert join_rows(hidden) is hidden
    wider = dataclasses.replace(plain, input_ids=torch.nn.functional.pad(plain.input_ids, (0, 2)))
    assert join_rows(wider) is wider  # of a mode that adds tokens and keeps the mask
    assert plain.token_mask is not None
    padding = int((~plain.token_mask.flatten()).nonzero()[0])
    reads_it = dataclasses.replace(plain, predictor_index=plain.predictor_index.clone().fill_(padding))
    assert join_rows(reads_it) is reads_it


def test_a_row_of_one_token_keeps_its_padding() -> None:
    alone = collate(rows(((1,),)), pad_to=3)
    assert join_rows(alone) is alone


@pytest.mark.parametrize("first", [0, 3])
def test_rows_stay_sequences_wherever_their_positions_start(first: int) -> None:
    plain = collate(rows(((4,), (3,), (5,))))
    places = torch.arange(5).expand(3, 5) + first
    joined = join_rows(dataclasses.replace(plain, position_ids=places))
    assert joined.cu_seqlens is not None
    assert joined.cu_seqlens.tolist() == [0, 4, 7, 12]
    assert joined.max_seqlen == 5
    assert sequences_of(places)[0].tolist() == [0, 5, 10, 15]


def test_padding_on_the_left_is_left_out() -> None:
    ids = torch.tensor([[0, 0, 7, 8], [4, 5, 6, 7]])
    nothing = torch.empty(0, dtype=torch.int64)
    for places in (None, torch.tensor([[1, 1, 0, 1], [0, 1, 2, 3]])):
        joined = join_rows(Batch(ids, places, nothing, nothing, nothing, nothing, nothing, (), 6, ids > 0))
        assert joined.input_ids.tolist() == [[7, 8, 4, 5, 6, 7]]
        assert joined.cu_seqlens is not None
        assert joined.cu_seqlens.tolist() == [0, 2, 6]
