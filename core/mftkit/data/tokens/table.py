"""The tokens of one task's sources, in a memory-mapped Arrow file.

A table is a directory: ``samples.arrow`` and ``manifest.json``, which says what the file must be.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mftkit.data.rows.reading import Row
    from mftkit.data.text.encoder import Encoded

SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.int32())),
        ("spans", pa.list_(pa.int32())),
        ("digest", pa.uint64()),
        ("side", pa.uint64()),
        ("source", pa.int32()),
        ("line", pa.int64()),
        ("weight", pa.float64()),
    ]
)
_ROWS, _MANIFEST = "samples.arrow", "manifest.json"
_BATCH_TOKENS = 1 << 22
"""Tokens of a record batch: few enough to build in memory, enough for a million samples to be a few dozen."""


class TableWriter:
    """Writes a table into a directory; ``close`` completes it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = (directory / _ROWS).open("wb")
        self._writer = pa.ipc.new_file(self._file, SCHEMA)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_tokens = 0
        self._seen: set[int] = set()
        self.samples = 0

    def append(self, encoded: Encoded, rows: Sequence[Row]) -> int:
        """Add a batch of samples and their rows; returns how many repeat the digest of an earlier one."""
        prefixes = _prefixes([row.digest for row in rows])
        columns = [
            _lists(encoded.tokens, np.asarray(encoded.lengths)),
            _lists(encoded.spans, 2 * np.asarray(encoded.span_counts)),
            pa.array(prefixes),
            pa.array(_prefixes([row.side for row in rows])),
            pa.array([row.source for row in rows], pa.int32()),
            pa.array([row.line for row in rows], pa.int64()),
            pa.array([row.weight for row in rows], pa.float64()),
        ]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        self._waiting_tokens += len(encoded.tokens)
        self.samples += len(rows)
        if self._waiting_tokens >= _BATCH_TOKENS:
            self._flush()
        known = len(self._seen)
        self._seen.update(prefixes.tolist())
        return len(prefixes) - (len(self._seen) - known)

    def close(self, facts: dict[str, Any]) -> None:
        """Complete the table; ``facts`` are kept with it."""
        self._flush()
        self._writer.close()
        self._file.close()
        manifest = {
            "samples": self.samples,
            "bytes": (self._directory / _ROWS).stat().st_size,
            "facts": facts,
        }
        (self._directory / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")

    def abandon(self) -> None:
        """Let go of the file, half-written as it is."""
        self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(pa.concat_batches(self._waiting))
        self._waiting, self._waiting_tokens = [], 0


def _prefixes(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    """[n]: the leading 8 bytes of each, as a number in the same order."""
    return np.frombuffer(b"".join(digest[:8] for digest in digests), ">u8").astype(np.uint64)


def _lists(values: Any, lengths: NDArray[np.int32]) -> pa.ListArray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.frombuffer(values, dtype=np.int32)))


class Damaged(Exception):  # noqa: N818 - never leaves the data path: the table is made anew
    """A table that is not what its manifest says."""


class _Lists:
    """A column of lists: views of the map, one a record batch."""

    def __init__(self, columns: list[pa.ListArray]) -> None:
        self.offsets = [np.asarray(column.offsets) for column in columns]
        self.values = [np.asarray(column.values) for column in columns]

    def row(self, batch: int, row: int) -> NDArray[np.int32]:
        offsets = self.offsets[batch]
        found: NDArray[np.int32] = self.values[batch][offsets[row] : offsets[row + 1]]
        return found

    def lengths(self) -> NDArray[np.int64]:
        return _joined([np.diff(offsets) for offsets in self.offsets]).astype(np.int64)


class Table:
    """A table read back. Rows are numbered from 0; the tokens stay on the disk until they are looked at."""

    def __init__(self, directory: Path) -> None:
        """Map the table. Raises Damaged, or FileNotFoundError where there is none."""
        manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        path = directory / _ROWS
        if not path.exists() or path.stat().st_size != manifest["bytes"]:
            raise Damaged(f"{path} has not the size that was written")
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except (pa.ArrowException, OSError) as error:
            raise Damaged(f"{path}: {error}") from None
        self.facts: dict[str, Any] = manifest["facts"]
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self._tokens = _Lists([batch.column("tokens") for batch in batches])
        self._spans = _Lists([batch.column("spans") for batch in batches])
        self.lengths = self._tokens.lengths()
        """[rows] int64: tokens of each sample, uncut."""
        if len(self.lengths) != manifest["samples"] or (self.lengths < 0).any():
            raise Damaged(f"{path} has not the samples that were written")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """[rows]: the leading 8 bytes of each row's digest of task and content."""
        return _joined([np.asarray(batch.column("digest")) for batch in self._batches]).astype(np.uint64)

    @property
    def sides(self) -> NDArray[np.uint64]:
        """[rows]: the leading 8 bytes of the digest that decides each row's side of the split."""
        return _joined([np.asarray(batch.column("side")) for batch in self._batches]).astype(np.uint64)

    @property
    def weights(self) -> NDArray[np.float64]:
        """[rows]: what each row's tokens are multiplied by in the loss."""
        return _joined([np.asarray(batch.column("weight")) for batch in self._batches]).astype(np.float64)

    def sample(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Views of the tokens [n] and of the spans' ends [2 * spans] of a row."""
        batch, inner = self._place(row)
        return self._tokens.row(batch, inner), self._spans.row(batch, inner)

    def origin(self, row: int) -> tuple[int, int]:
        """The row's source and line."""
        batch, inner = self._place(row)
        columns = self._batches[batch]
        return columns.column("source")[inner].as_py(), columns.column("line")[inner].as_py()

    def counting(self, max_length: int) -> NDArray[np.int64]:
        """[rows] int64: counting tokens of each sample cut to ``max_length``."""
        return _joined(
            [
                _counting(offsets, values, max_length)
                for offsets, values in zip(self._spans.offsets, self._spans.values, strict=True)
            ]
        ).astype(np.int64)

    def _place(self, row: int) -> tuple[int, int]:
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        return batch, row - int(self._starts[batch])


def _counting(offsets: NDArray[np.int32], values: NDArray[np.int32], limit: int) -> NDArray[np.int64]:
    ends = np.minimum(values, limit)
    widths = np.concatenate([[0], np.cumsum(ends[1::2] - ends[::2], dtype=np.int64)])
    bounds = offsets // 2
    counts: NDArray[np.int64] = widths[bounds[1:]] - widths[bounds[:-1]]
    return counts


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def open_table(directory: Path, complain: Callable[[str], None]) -> Table | None:
    """The table, or None where there is none or a damaged one, of which ``complain`` is told."""
    try:
        return Table(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (Damaged, ValueError, KeyError, TypeError) as error:
        complain(f"the cache {directory} is damaged and is made anew ({error})")
        return None
