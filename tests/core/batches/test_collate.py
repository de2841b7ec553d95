from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mftkit.batches.collate import collate, idle_batch
from mftkit.interfaces.tokenization import MicroBatch, Sample

PAD = 9


def sample(index: int, tokens: list[int], counts: list[Any], task: int = 0) -> Sample:
    arrays = np.array(tokens, np.int32), np.array(counts, np.bool_)
    for array in arrays:
        array.flags.writeable = False  # as the memory-mapped cache is
    return Sample(index, task, *arrays)


def micro_batch(*rows: list[Sample], max_length: int = 64) -> MicroBatch:
    return MicroBatch(tuple(tuple(row) for row in rows), max_length, PAD)


def by_hand(samples: MicroBatch, isolated: bool, width: int) -> tuple[list[list[int]], Any, Any]:
    """What a batch must hold, token by token: (ids, positions, [(position, target, task, index)])."""
    ids: list[list[int]] = []
    positions: list[list[int]] = []
    counting: list[tuple[int, int, int, int]] = []
    for r, row in enumerate(samples.rows):
        row_ids: list[int] = []
        row_positions: list[int] = []
        for each in row:
            for i, token in enumerate(each.tokens.tolist()):
                if i > 0 and each.loss_mask[i]:
                    counting.append((r * width + len(row_ids) - 1, token, each.task, each.index))
                row_ids.append(token)
                row_positions.append(i)
        fill = width - len(row_ids)
        ids.append(row_ids + [PAD] * fill)
        positions.append(row_positions + [0] * fill)
    alone = not isolated or all(len(row) <= 1 for row in samples.rows)
    return ids, None if alone else positions, counting


@st.composite
def micro_batches(draw: st.DrawFn) -> Any:
    numbers = iter(range(100, 10_000))

    def one(pair: tuple[list[int], list[bool], int]) -> Sample:
        return sample(next(numbers), pair[0], pair[1], pair[2])

    arrays = st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 9), min_size=n, max_size=n),
            st.lists(st.booleans(), min_size=n, max_size=n),
            st.integers(0, 3),
        )
    )
    rows = draw(st.lists(st.lists(arrays, min_size=1, max_size=4), min_size=1, max_size=4))
    return micro_batch(*[[one(pair) for pair in row] for row in rows])


@given(micro_batches(), st.booleans(), st.integers(0, 3))
def test_every_tensor_is_what_a_loop_over_tokens_gives(
    samples: MicroBatch, isolated: bool, extra: int
) -> None:
    width = max(sum(len(each.tokens) for each in row) for row in samples.rows) + extra
    batch = collate(samples, isolated=isolated, pad_to=width if extra else None)
    ids, positions, counting = by_hand(samples, isolated, width)
    assert batch.input_ids.tolist() == ids
    assert (batch.position_ids is None) == (positions is None)
    if positions is not None:
        assert batch.position_ids is not None
        assert batch.position_ids.tolist() == positions
    rows = zip(
        batch.predictor_index.tolist(),
        batch.targets.tolist(),
        batch.task.tolist(),
        [batch.sample_index[i] for i in batch.sample.tolist()],
        strict=True,
    )
    assert list(rows) == counting
    assert batch.task.tolist() == batch.sample_task[batch.sample].tolist()
    # Every sample listed has a counting token.
    assert sorted(set(batch.sample.tolist())) == list(range(len(batch.sample_task)))
    assert len(batch.sample_index) == len(batch.sample_task)
    assert batch.real_tokens == sum(len(each.tokens) for row in samples.rows for each in row)


@given(micro_batches(), st.booleans(), st.integers(1, 5), st.integers(1, 9))
def test_few_shapes_change_the_padding_alone(
    samples: MicroBatch, isolated: bool, step: int, rows: int
) -> None:
    plain = collate(samples, isolated=isolated)
    few = collate(dataclasses.replace(samples, length_step=step, least_rows=rows), isolated=isolated)
    height, width = plain.input_ids.shape
    assert few.input_ids.shape[0] == max(height, rows)
    assert few.input_ids.shape[1] - width in range(step)
    assert few.input_ids.shape[1] % step == 0
    assert torch.equal(few.input_ids[:height, :width], plain.input_ids)
    assert few.token_mask is not None
    assert int(few.token_mask.sum()) == plain.real_tokens
    assert (few.input_ids[~few.token_mask] == PAD).all()
    assert torch.equal(few.targets, plain.targets)
    flat = few.input_ids.flatten()
    assert torch.equal(flat[few.predictor_index], plain.input_ids.flatten()[plain.predictor_index])


def test_a_length_is_rounded_up_to_the_longest_row_at_most() -> None:
    row = [sample(0, [1, 2, 3, 4, 5], [1] * 5)]
    for longest, width in ((8, 8), (7, 7), (5, 5)):
        made = dataclasses.replace(micro_batch(row, max_length=longest), length_step=4)
        assert collate(made).input_ids.shape == (1, width)


def test_tensors_are_int64_and_shaped_as_promised() -> None:
    batch = collate(micro_batch([sample(3, [1, 2, 3], [0, 1, 1])], [sample(4, [5], [0])]))
    assert batch.input_ids.shape == (2, 3)
    held = [
        batch.input_ids,
        batch.predictor_index,
        batch.targets,
        batch.task,
        batch.sample,
        batch.sample_task,
    ]
    assert {tensor.dtype for tensor in held} == {torch.int64}


def test_a_samples_first_token_never_counts() -> None:
    batch = collate(micro_batch([sample(0, [1, 2], [1, 1]), sample(1, [3, 4], [1, 1]), sample(2, [5], [1])]))
    assert batch.predictor_index.tolist() == [0, 2]
    assert batch.targets.tolist() == [2, 4]
    assert batch.sample_index == (0, 1)


def test_counts_of_the_cache_are_left_alone() -> None:
    counts = np.array([True, True])
    collate(micro_batch([Sample(0, 0, np.array([1, 2], np.int32), counts)]))
    assert counts.tolist() == [True, True]


def test_the_pad_id_tells_nothing_apart() -> None:
    batch = collate(micro_batch([sample(0, [PAD, PAD, PAD], [0, 1, 1])], [sample(1, [1, PAD], [0, 1])]))
    assert batch.targets.tolist() == [PAD, PAD, PAD]
    assert batch.real_tokens == 5


def test_a_row_without_counting_tokens_is_allowed() -> None:
    batch = collate(micro_batch([sample(0, [1, 2, 3], [1, 0, 0])]))
    assert batch.targets.shape == (0,)
    assert batch.sample_task.shape == (0,)
    assert batch.sample_index == ()
    assert batch.real_tokens == 3


def test_no_rows_and_rows_too_long_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        collate(micro_batch())
    with pytest.raises(ValueError, match="3 tokens does not fit into 2"):
        collate(micro_batch([sample(0, [1, 2, 3], [0, 1, 1])]), pad_to=2)


def test_an_idle_batch_has_a_row_and_nothing_that_counts() -> None:
    batch = idle_batch(PAD)
    assert batch.input_ids.tolist() == [[PAD, PAD]]
    assert batch.position_ids is None
    assert (len(batch.predictor_index), len(batch.targets), len(batch.sample_task), batch.real_tokens) == (
        0,
        0,
        0,
        0,
    )
    assert batch.predictor_index.dtype == torch.int64


def test_a_batch_moves_with_all_its_tensors() -> None:
    batch = collate(micro_batch([sample(0, [1, 2], [0, 1]), sample(1, [1, 2], [0, 1])])).to(
        torch.device("meta")
    )
    assert batch.position_ids is not None
    assert {batch.input_ids.device.type, batch.position_ids.device.type, batch.sample_task.device.type} == {
        "meta"
    }
    assert batch.sample_index == (0, 1)
