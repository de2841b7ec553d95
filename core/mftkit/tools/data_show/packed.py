"""A packed row of the first epoch: which samples share it, and where one ends and the next begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.interfaces.tokenization import MicroBatch
from mftkit.tools.data_show.view import PackedRow, PackedSample

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from mftkit.batches.sampler import BatchSampler
    from mftkit.data.corpus import Corpus
    from mftkit.interfaces.tokenization import Layout, TokenizationMode
    from mftkit.tools.data_show.tokens import TokenReader


def packed_row(
    corpus: Corpus,
    sampler: BatchSampler,
    mode: TokenizationMode,
    tasks: Collection[int],
    reader: TokenReader,
    max_length: int,
) -> PackedRow | None:
    """Return a row that holds several samples, one of them of these tasks; None if there is none.

    It is the first one that holds samples of several tasks, otherwise the first one.

    Args:
        corpus: the run's data.
        sampler: the run's steps, whose first epoch is shown.
        mode: the tokenization mode.
        tasks: indices of the tasks.
        reader: makes the tokens ready to be shown.
        max_length: the most tokens of a row.
    """
    layout = sampler.layout(0)
    number = _row_of_several(layout, corpus.train.task[layout.samples], tasks)
    if number is None:
        return None
    members = [
        corpus.train[int(i)] for i in layout.samples[layout.offsets[number] : layout.offsets[number + 1]]
    ]
    positions = _positions(mode.collate(MicroBatch((tuple(members),), max_length, 0)).position_ids)
    found: list[PackedSample] = []
    start = 0
    for sample in members:
        found.append(
            PackedSample(
                task=corpus.tasks[sample.task].name,
                place=corpus.train.origin(sample.index),
                start=start,
                length=len(sample.tokens),
                first_position=start if positions is None else positions[start],
                tokens=reader.tokens(sample.tokens, sample.loss_mask),
            )
        )
        start += len(sample.tokens)
    return PackedRow(
        number=number + 1,
        rows=len(layout.offsets) - 1,
        length=start,
        restarts=all(sample.first_position == 0 for sample in found),
        samples=tuple(found),
    )  # fmt: skip


def _row_of_several(layout: Layout, task: NDArray[np.int64], tasks: Collection[int]) -> int | None:
    starts = layout.offsets[:-1]
    several = np.diff(layout.offsets) > 1
    chosen = np.logical_or.reduceat(np.isin(task, list(tasks)), starts) & several
    mixed = np.maximum.reduceat(task, starts) != np.minimum.reduceat(task, starts)
    rows = np.flatnonzero(chosen & mixed) if (chosen & mixed).any() else np.flatnonzero(chosen)
    return int(rows[0]) if len(rows) else None


def _positions(position_ids: object) -> Sequence[int] | None:
    tolist = getattr(position_ids, "tolist", None)
    return None if tolist is None else tolist()[0]
