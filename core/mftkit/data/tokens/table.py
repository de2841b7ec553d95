"""The tokens of one task's sources, in a memory-mapped Arrow file.

A table is a directory: ``samples.arrow`` and ``manifest.json``, which holds the size and the checksum by which damage
is found.
"""

from __future__ import annotations

import copy
import json
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from mftkit.base.checksums import fingerprint, verify_checksum, with_checksum
from mftkit.base.json_files import read_json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.reading import Row
    from mftkit.data.text.encoder import Encoded

Number = TypeVar("Number", bound=np.generic)

SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.int32())),
        ("spans", pa.list_(pa.int32())),
        ("digest", pa.uint64()),
        ("side", pa.uint64()),  # Row.split_key, under the name that tables on the disk have
        ("source", pa.int32()),
        ("line", pa.int64()),
        ("weight", pa.float64()),
    ]
)
_TOKENS = {np.dtype(np.int32): pa.int32(), np.dtype(np.uint16): pa.uint16()}
"""How tokens may be stored; whoever reads them gets int32."""
_ROWS, _MANIFEST = "samples.arrow", "manifest.json"
_BATCH_TOKENS = 1 << 20
"""Tokens per record batch: few enough to build in a few MiB; a million samples are a few hundred batches."""


class RowColumns(NamedTuple):
    """The row of each sample, [samples] each."""

    digests: NDArray[np.uint64]
    """Leading 8 bytes."""
    split_keys: NDArray[np.uint64]
    """Leading 8 bytes."""
    sources: NDArray[np.int32]
    lines: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Return the columns of some rows."""
        return cls(
            _prefixes([row.digest for row in rows]),
            _prefixes([row.split_key for row in rows]),
            np.array([row.source for row in rows], np.int32),
            np.array([row.line for row in rows], np.int64),
            np.array([row.weight for row in rows], np.float64),
        )


class TableWriter:
    """Writes a table into a directory; ``close`` completes it."""

    def __init__(self, directory: Path, variants: int = 1, highest: int | None = None) -> None:
        """Open the file.

        Args:
            directory: where it is written.
            variants: samples that stand together as the versions of one.
            highest: the highest id of a token; None: unknown. Ids that fit into two bytes take no more on the disk.
        """
        self._directory = directory
        narrow = highest is not None and highest <= np.iinfo(np.uint16).max
        self._tokens = np.dtype(np.uint16 if narrow else np.int32)
        self._schema = SCHEMA.set(0, pa.field("tokens", pa.list_(_TOKENS[self._tokens])))
        self._variants = variants
        self._file = (directory / _ROWS).open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_tokens = 0
        self._digests = array("Q")
        """That of each row, whether it has one sample or several."""
        self.samples = 0

    def append(self, encoded: Encoded, rows: RowColumns) -> None:
        """Add a batch of samples and the row of each. The samples of a row stand together in one batch."""
        of_rows: tuple[NDArray[Any], ...] = rows
        columns = [
            _lists(np.asarray(encoded.tokens).astype(self._tokens, copy=False), np.asarray(encoded.lengths)),
            _lists(np.asarray(encoded.spans), 2 * np.asarray(encoded.span_counts)),
            *(
                _as_column(values, declared.type)
                for values, declared in zip(of_rows, list(SCHEMA)[2:], strict=True)
            ),
        ]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self._waiting_tokens += len(encoded.tokens)
        self.samples += len(rows.lines)
        if self._waiting_tokens >= _BATCH_TOKENS:
            self._flush()
        firsts = np.ones(len(rows.lines), np.bool_)
        firsts[1:] = (np.diff(rows.lines) != 0) | (np.diff(rows.sources) != 0)
        self._digests.frombytes(rows.digests[firsts].tobytes())

    @property
    def repeated_rows(self) -> int:
        """Rows that repeat the digest of an earlier one."""
        return len(self._digests) - len(np.unique(np.frombuffer(self._digests, np.uint64)))

    def close(self, facts: JsonObject) -> None:
        """Complete the table; ``facts`` are stored with it."""
        self._flush()
        self._writer.close()
        self._file.close()
        size, crc = fingerprint(self._directory / _ROWS)
        manifest: JsonObject = {
            "samples": self.samples,
            "bytes": size,
            "crc32": crc,
            "facts": facts,
            **({"variants": self._variants} if self._variants > 1 else {}),
        }
        text = json.dumps(with_checksum(manifest), indent=1)
        (self._directory / _MANIFEST).write_text(text, encoding="utf-8")

    def abandon(self) -> None:
        """Close an unfinished file. Does nothing after ``close``."""
        self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(pa.concat_batches(self._waiting))
        self._waiting, self._waiting_tokens = [], 0


def _prefixes(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return the leading 8 bytes of each digest as a number, [n], in the same order."""
    return np.frombuffer(b"".join(digest[:8] for digest in digests), ">u8").astype(np.uint64)


def _lists(values: NDArray[np.int32 | np.uint16], lengths: NDArray[np.int32]) -> pa.ListArray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(
        _as_column(offsets, pa.int32()), _as_column(values, _TOKENS[values.dtype])
    )


def _as_column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return numbers as a column that shares their memory; pyarrow's own conversion imports pandas."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _as_numpy(column: pa.Array) -> NDArray[Any]:
    """Return a column of numbers without nulls as it lies in memory; pyarrow's own conversion imports pandas."""
    dtype = np.dtype(str(column.type).replace("double", "float64"))
    buffer = column.buffers()[1]
    if buffer is None:  # a column without rows
        return np.empty(0, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(column), offset=dtype.itemsize * column.offset)


class Damaged(Exception):  # noqa: N818 - never leaves the data path: the table is rebuilt
    """A table that does not match its manifest."""


class _Lists:
    """A column of lists: one view of the memory map per record batch."""

    def __init__(self, columns: list[pa.ListArray]) -> None:
        self.offsets = [_as_numpy(column.offsets) for column in columns]
        self.values = [_as_numpy(column.values) for column in columns]

    def row(self, batch: int, row: int) -> NDArray[np.int32]:
        offsets = self.offsets[batch]
        found = self.values[batch][offsets[row] : offsets[row + 1]]
        return found.astype(np.int32, copy=False)

    def lengths(self) -> NDArray[np.int64]:
        return joined([np.diff(offsets) for offsets in self.offsets]).astype(np.int64)


class TokenTable:
    """A table on the disk. Rows are numbered from 0; tokens are read only when they are used.

    Where each sample has several variants, a table has the rows of one of them (see ``of_variant``), at first 0.
    """

    def __init__(self, directory: Path) -> None:
        """Map the table into memory. Raises Damaged, or FileNotFoundError if it does not exist."""
        manifest = read_json_object(directory / _MANIFEST)
        verify_checksum(manifest)
        path = directory / _ROWS
        if not path.exists() or path.stat().st_size != manifest["bytes"]:
            raise Damaged(f"the size of {path} is not the one that was written")
        if "crc32" in manifest and fingerprint(path)[1] != manifest["crc32"]:
            raise Damaged(f"the content of {path} is not the one that was written")
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except (pa.ArrowException, OSError) as error:
            raise Damaged(f"{path}: {error}") from None
        self.facts: JsonObject = manifest["facts"]
        self.variants: int = manifest.get("variants", 1)
        """Versions of each sample, one for each epoch in turn."""
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self._tokens = _Lists([batch.column("tokens") for batch in batches])
        self._spans = _Lists([batch.column("spans") for batch in batches])
        self._all_lengths = self._tokens.lengths()
        if len(self._all_lengths) != manifest["samples"] or (self._all_lengths < 0).any():
            raise Damaged(f"the number of samples in {path} is not the one that was written")
        self._use(0)

    def of_variant(self, number: int) -> Self:
        """Return the table of another variant: the same rows in the same order."""
        table = copy.copy(self)
        table._use(number)
        return table

    def _use(self, variant: int) -> None:
        self._variant = slice(variant, None, self.variants)
        self.lengths: NDArray[np.int64] = self._all_lengths[self._variant]
        """[rows] int64: tokens of each sample, not truncated."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """Leading 8 bytes of each row's digest of task and content, [rows]."""
        return self._column("digest").astype(np.uint64)

    @property
    def split_keys(self) -> NDArray[np.uint64]:
        """Leading 8 bytes of the digest that decides each row's side of the split, [rows]."""
        return self._column("side").astype(np.uint64)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Factor of each row's tokens in the loss, [rows]."""
        return self._column("weight").astype(np.float64)

    @property
    def origins(self) -> NDArray[np.int64]:
        """Index of each row's source and its line, [rows, 2]."""
        return np.stack([self._column("source"), self._column("line")], axis=1).astype(np.int64)

    def sample(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return a row's tokens [n] and its spans of loss tokens [2 * spans], int32: views where they are stored so."""
        batch, inner = self._place(row)
        return self._tokens.row(batch, inner), self._spans.row(batch, inner)

    def origin(self, row: int) -> tuple[int, int]:
        """Return the index of a row's source, and its line."""
        batch, inner = self._place(row)
        columns = self._batches[batch]
        return columns.column("source")[inner].as_py(), columns.column("line")[inner].as_py()

    def loss_tokens(self, max_length: int) -> NDArray[np.int64]:
        """Return the loss tokens of each sample after truncation to ``max_length``, [rows] int64."""
        return joined(
            [
                _loss_tokens(offsets, values, max_length)
                for offsets, values in zip(self._spans.offsets, self._spans.values, strict=True)
            ]
        )[self._variant].astype(np.int64)

    def _column(self, name: str) -> NDArray[np.generic]:
        return joined([_as_numpy(batch.column(name)) for batch in self._batches])[self._variant]

    def _place(self, row: int) -> tuple[int, int]:
        row = row * self.variants + self._variant.start
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        return batch, row - int(self._starts[batch])


def _loss_tokens(offsets: NDArray[np.int32], values: NDArray[np.int32], limit: int) -> NDArray[np.int64]:
    ends = np.minimum(values, limit)
    # Widths of all spans summed up, so that a row's number is one difference.
    widths = np.concatenate([[0], np.cumsum(ends[1::2] - ends[::2], dtype=np.int64)])
    bounds = offsets // 2
    counts: NDArray[np.int64] = widths[bounds[1:]] - widths[bounds[:-1]]
    return counts


def joined(parts: list[NDArray[Number]]) -> NDArray[Number] | NDArray[np.int64]:
    """Return the arrays as one; without arrays, an empty one of int64."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def open_table(directory: Path, warn: Callable[[str], None]) -> TokenTable | None:
    """Return the table, or None if it does not exist or is damaged; damage is passed to ``warn``."""
    try:
        return TokenTable(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (Damaged, ValueError, KeyError, TypeError) as error:
        warn(f"the cache entry {directory} is damaged and will be rebuilt ({error})")
        return None
