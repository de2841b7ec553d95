"""Checks that the tensors of a batch describe its rows correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mftkit.testing.assertions import require

if TYPE_CHECKING:
    from mftkit.interfaces.tokenization import Batch, Sample

Rows = tuple[tuple["Sample", ...], ...]


def check_batch(batch: Batch, rows: Rows, max_length: int, pad: int) -> None:
    """Raise ConformanceError unless ``batch`` is a correct batch of ``rows``.

    All tokens in ``rows`` must be different from each other and from ``pad``.
    """
    samples = [sample for row in rows for sample in row]
    _check_shape(batch, len(rows), max_length)
    places = _check_tokens(batch, samples, pad)
    _check_targets(batch, samples, places)
    _check_positions(batch, rows, places)


def _check_shape(batch: Batch, rows: int, max_length: int) -> None:
    shape = tuple(batch.input_ids.shape)
    fine = len(shape) == 2 and shape[0] == rows and 0 < shape[1] <= max_length
    require(
        fine,
        f"input_ids must be [rows, positions], but have shape {shape} for {rows} rows of at most {max_length} tokens",
    )
    for name in ("input_ids", "predictor_index", "targets", "task", "sample", "sample_task"):
        require(
            getattr(batch, name).dtype == torch.int64,
            f"{name} has dtype {getattr(batch, name).dtype}, not int64",
        )
    for name in ("predictor_index", "targets", "task", "sample"):
        shape = tuple(getattr(batch, name).shape)
        require(
            shape == tuple(batch.targets.shape),
            f"{name} has shape {shape}, but targets have {batch.targets.shape}",
        )


def _check_tokens(batch: Batch, samples: list[Sample], pad: int) -> dict[int, int]:
    """Return the index of each token in the flattened rows."""
    flat = batch.input_ids.flatten().tolist()
    expected = [int(token) for sample in samples for token in sample.tokens]
    held = [token for token in flat if token != pad]
    require(
        sorted(held) == sorted(expected),
        "input_ids must hold each token of the samples once, and pad_id everywhere else",
    )
    require(
        batch.real_tokens == len(expected),
        f"real_tokens is {batch.real_tokens}, but the rows hold {len(expected)} tokens",
    )
    if batch.token_mask is not None:
        held = [token != pad for token in flat]
        require(
            batch.token_mask.flatten().tolist() == held,
            "token_mask must be True exactly at the positions that hold a sample's token",
        )
    return {token: place for place, token in enumerate(flat) if token != pad}


def _check_targets(batch: Batch, samples: list[Sample], places: dict[int, int]) -> None:
    expected = {
        int(token): (int(before), sample)
        for sample in samples
        for before, token, is_loss_token in zip(
            sample.tokens[:-1], sample.tokens[1:], sample.loss_mask[1:], strict=True
        )
        if is_loss_token
    }
    found = sorted(batch.targets.tolist())
    require(
        found == sorted(expected),
        "targets must be the loss tokens, except each sample's first token: "
        f"missing {sorted(set(expected) - set(found))[:5]}, unexpected {sorted(set(found) - set(expected))[:5]}",
    )
    per_sample = [len(batch.sample_task), len(batch.sample_index)]
    with_loss = {sample.index for _, sample in expected.values()}
    fine = per_sample == [len(with_loss)] * 2 and set(batch.sample_index) == with_loss
    require(fine, "sample_task and sample_index must list exactly the samples that have a loss token")
    columns = (batch.targets, batch.predictor_index, batch.task, batch.sample)
    for target, position, task, number in zip(*(column.tolist() for column in columns), strict=True):
        before, sample = expected[target]
        require(position == places[before], "predictor_index must point at the target's predecessor")
        require(task == sample.task, "task must be the task of the target's sample")
        require(
            batch.sample_index[number] == sample.index, "sample must be the number of the target's sample"
        )
        require(int(batch.sample_task[number]) == sample.task, "sample_task must be the task of the sample")


def _check_positions(batch: Batch, rows: Rows, places: dict[int, int]) -> None:
    """Position ids, if there are any, start from 0 in each sample, or from 0 in each row."""
    if batch.position_ids is None:
        return
    require(
        batch.position_ids.shape == batch.input_ids.shape, "position_ids must have the shape of input_ids"
    )
    flat, width = batch.position_ids.flatten().tolist(), batch.input_ids.shape[1]
    tokens = [int(token) for row in rows for sample in row for token in sample.tokens]
    restarts = [place for row in rows for sample in row for place in range(len(sample.tokens))]
    found = [flat[places[token]] for token in tokens]
    whole = [places[token] % width for token in tokens]
    require(found in (restarts, whole), "position_ids must restart at each sample or count through the row")
