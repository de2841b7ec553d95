"""The content of a run's data: equal wherever the data lies, and in whatever kind of file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit.data.samples import Part


def content_of(rendering: str, parts: Iterable[Part], max_length: int) -> str:
    """Return a fingerprint of samples, in their order.

    Args:
        rendering: identity of what makes tokens of a row: the tokenizer, and the chat format.
        parts: the samples.
        max_length: to which they are truncated, in tokens.
    """
    total = hashlib.sha256(rendering.encode())
    for part in parts:
        table, rows = part.table, part.rows
        columns = (table.digests, table.lengths, table.loss_tokens(max_length), table.weights)
        for column in columns:
            total.update(np.ascontiguousarray(column[rows]).tobytes())
    return total.hexdigest()
