"""The losses of single rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from mftkit.data.samples import Part, Samples
from mftkit.evaluation.rows import RowPlace
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mftkit.data.tokens.table import TokenTable
    from mftkit.data.tokens.token_cache import TableSource
    from mftkit.evaluation.rows import RowsToEvaluate
    from mftkit.spec import Spec


class RowLosses(Protocol):
    """Measures rows: the sum of -log p in nats and the number of loss tokens of each."""

    def __call__(self, source: TableSource, rows: RowsToEvaluate, spec: Spec) -> Sequence[tuple[float, int]]:
        """In the order of the rows. Raises MftError for a row without a loss token."""


def measured(
    table: TokenTable,
    names: tuple[str, ...],
    rows: RowsToEvaluate,
    max_length: int,
    losses: Callable[[Samples, int], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> list[tuple[float, int]]:
    """Measure rows by a function that sums over tasks: each row is a task.

    Args:
        table: tokens of all rows of the sources.
        names: of the sources.
        rows: the rows to measure.
        max_length: samples are cut off after it, as in training.
        losses: sums [tasks] of -log p and of loss tokens over samples.
    """
    samples_of: dict[RowPlace, list[int]] = {}
    kept = table.loss_tokens(max_length) > 0
    for sample in np.flatnonzero(kept):
        samples_of.setdefault(RowPlace(*table.origin(int(sample))), []).append(int(sample))
    parts = []
    for number, place in enumerate(rows.places):
        if place not in samples_of:
            row = rows.rows[number]
            raise MftError(
                f"{row.source}: the row has no token that a loss is measured on, within max_length {max_length}"
            )
        parts.append(Part(number, table, np.array(samples_of[place]), names))
    nll, tokens = losses(Samples(parts, max_length), len(parts))
    return [(float(each), int(count)) for each, count in zip(nll, tokens, strict=True)]
