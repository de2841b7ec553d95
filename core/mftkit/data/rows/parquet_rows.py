"""Reads a Parquet file, of which a few bytes can stand for gigabytes, one row group after another."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from mftkit.base.formatting import size
from mftkit.base.reasons import reason
from mftkit.data.rows import limits
from mftkit.data.rows.arrow_rows import BATCH, arrow_rows
from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.source import Numbered
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

_LEAST_BATCH = 4
"""Rows that are read at once from a large row group: one at a time takes ten times as long."""


def parquet_rows(file: IO[bytes], name: str, unread: int) -> Iterator[Numbered]:
    """Yield the rows; the first ``unread`` values may be None.

    Raises:
        MftError: the file is damaged.
        RowError: a row group holds gigabytes in rows that are too large.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        table = pq.ParquetFile(file)
        groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
        # Those of single columns are not asked for: pyarrow ends the process where they are damaged.
        stored = [(group.num_rows, group.total_byte_size) for group in groups]
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise MftError(f"{name}: cannot be read as Parquet: {reason(error)}") from None
    if sum(rows for rows, _ in stored) != table.metadata.num_rows:
        raise MftError(f"{name}: is damaged: its row groups do not have its {table.metadata.num_rows:,} rows")
    before = 0
    for number, (rows, total) in enumerate(stored):
        if before + rows <= unread:
            yield from (Numbered(before + i, None) for i in range(1, rows + 1))
        elif rows == 1 and (fault := limits.size_fault(total)) is not None:
            yield Numbered(before + 1, BadRow(fault))
        else:
            _check_group(name, before, rows, total)
            at_once = max(_LEAST_BATCH, min(BATCH, limits.MOST_ARRAY // max(total, 1)))
            batches = table.iter_batches(batch_size=at_once, row_groups=[number])
            yield from arrow_rows(_complete(batches, rows), name, before=before, unread=unread)
        before += rows


def _complete(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the tables of a row group. Raises ValueError if some are missing: a damaged file may end early."""
    left = rows
    for batch in batches:
        left -= batch.num_rows
        yield batch
    if left:
        raise ValueError(f"its row group has {rows - left:,} of {rows:,} rows")


def _check_group(name: str, before: int, rows: int, total: int) -> None:
    """Raise RowError for a row group that would fill the memory with rows of which each is too large."""
    if total > limits.MOST_ARRAY and total > limits.MOST_BYTES * rows:
        raise RowError(
            name,
            before + 1,
            f"this row and the next ones, {rows:,} in one row group, have {size(total)}, and a row may have "
            f"{size(limits.MOST_BYTES)}; split them, or leave them out",
        )
