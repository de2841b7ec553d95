"""Streamed training data: the tokens of one chunk of rows at a time, so that no data set need fit on the disk.

Each task's sources are an endless stream of rows. Chunk k holds the next rows of every task's stream, equally many in
each chunk, so that where a chunk begins follows from its number alone. A chunk takes the place of an epoch: its
samples are shuffled and laid out together. Its tables are removed when the next chunk is made.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import weakref
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from mftkit.data.mixing import apportion
from mftkit.data.rows.columns import MappedSource
from mftkit.data.rows.files import FileSource
from mftkit.data.rows.row_stream import RowStream
from mftkit.data.rows.saved import SavedSource
from mftkit.data.rows.sources import train_sources
from mftkit.data.samples import Samples
from mftkit.data.task_formats import build_task_format
from mftkit.data.tokens.token_cache import TableSource
from mftkit.interfaces.component import TaskInfo
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mftkit.data.rows.source import Source
    from mftkit.data.samples import Part
    from mftkit.data.tokens.table import TokenTable
    from mftkit.data.tokens.token_cache import TokenCache
    from mftkit.spec import Spec

_HEAD_START = 1.0
"""Seconds in which the process that made a task's last table begins with the next one: the others would have to read
the stream again up to that place."""


_ALIVE: Counter[str] = Counter()
"""Objects of this process that use the tables of a run, by the beginning of their names."""


class StreamedTask(TaskInfo):
    """A task whose training data has no known size: a component that reads it is refused."""

    def __init__(self, name: str, weight: float, valid_samples: int) -> None:
        for key, value in (("name", name), ("weight", weight), ("valid_samples", valid_samples)):
            object.__setattr__(self, key, value)

    @property
    def samples(self) -> int:
        """Raises MftError."""
        raise self._unknown("samples")

    @property
    def tokens(self) -> int:
        """Raises MftError."""
        raise self._unknown("loss tokens")

    def __repr__(self) -> str:
        return f"StreamedTask({self.name!r}, {self.weight!r}, {self.valid_samples!r})"

    def _unknown(self, what: str) -> MftError:
        return MftError(
            f"data.streaming: a component of the spec (the loss, balancer, tokenization or tuning) reads the number of "
            f"training {what} of task {self.name}, which is not known of a stream. Choose another component, or remove "
            "data.streaming."
        )


class ChunkedSamples(Samples):
    """The training samples of a stream. The first chunk is there all the time, and one other chunk beside it."""

    is_streamed = True

    def __init__(
        self, first: Sequence[Part], max_length: int, prepare: Callable[[int], Sequence[Part]]
    ) -> None:
        """``prepare(chunk)`` returns the samples of a chunk, task by task."""
        super().__init__(first, max_length, read_weights=True)
        self._prepare = prepare
        self._latest: tuple[int, Samples] | None = None
        self.check: Callable[[Samples], None] = lambda _samples: None
        """Called with the samples of every chunk but the first; raises MftError for those that cannot be trained on."""

    def in_epoch(self, epoch: int) -> Samples:
        """Return the samples of chunk ``epoch``, and remove those of the chunk before. Raises MftError for bad data."""
        if epoch == 0:
            return self
        if self._latest is None or self._latest[0] != epoch:
            self._latest = None  # its tables are not mapped any more, so that removing them frees the disk
            samples = Samples(self._prepare(epoch), self._max_length, read_weights=True)
            self.check(samples)
            self._latest = epoch, samples
        return self._latest[1]


class ChunkTables:
    """Makes the tables of a run's chunks in the token cache, and removes them."""

    def __init__(self, spec: Spec, token_cache: TokenCache) -> None:
        self._spec = spec
        self._cache = token_cache
        self._run = hashlib.sha256(str(spec.output).encode()).hexdigest()[:16]
        """Beginning of the names of this run's tables: no other run shares them."""
        self.rows = rows_per_chunk(spec)
        self._sources: dict[int, tuple[Source, ...]] = {}
        self._streams: dict[int, RowStream] = {}
        self._follows: set[int] = set()
        """Tasks whose last table was made by another process."""
        _ALIVE[self._run] += 1
        weakref.finalize(self, _remove_last, token_cache.root, self._run)

    def sources(self, index: int, warn: Callable[[str], None]) -> tuple[Source, ...]:
        """Return the sources of a task. Raises MftError for one that cannot be streamed."""
        if index not in self._sources:
            found = train_sources(self._spec.tasks[index], index, warn)
            for source in found:
                _check(source, index)
            self._sources[index], self._streams[index] = found, RowStream(found)
        return self._sources[index]

    def tables(self, chunk: int, warn: Callable[[str], None]) -> list[TokenTable]:
        """Return the tables of a chunk, one per task; those of other chunks are removed, except the first.

        Raises MftError for bad data.
        """
        planned = [self._planned(index, chunk, warn) for index in range(len(self._spec.tasks))]
        if chunk:
            first = [self._planned(index, 0, warn) for index in range(len(self._spec.tasks))]
            _remove(self._cache.root, self._run, frozenset(name for name, _ in first + planned))
        return [self._table(index, chunk, name, source) for index, (name, source) in enumerate(planned)]

    def _planned(self, index: int, chunk: int, warn: Callable[[str], None]) -> tuple[str, TableSource]:
        """Return the name of a table, and what it is made from."""
        task = self._spec.tasks[index]
        sources = self.sources(index, warn)
        task_format = build_task_format(self._spec, task)
        source = TableSource(task.name, task.format.name, task_format, sources, groups=False)
        place = json.dumps([index, chunk, self.rows[index]])
        identity = self._cache.identity_of(source, [place, *map(_identity, sources)])
        return f"{self._run}{identity[:16]}", source

    def _table(self, index: int, chunk: int, name: str, source: TableSource) -> TokenTable:
        stream, count = self._streams[index], self.rows[index]
        start, path = chunk * count, self._cache.root / name
        if index in self._follows:
            end = time.monotonic() + _HEAD_START
            while not path.exists() and time.monotonic() < end:
                time.sleep(0.02)
        rows = stream.read(start, count)
        table = self._cache.table_of(name, source, rows, count)
        if stream.position == start + count:
            self._follows.discard(index)
        else:
            self._follows.add(index)
        return table


def rows_per_chunk(spec: Spec) -> tuple[int, ...]:
    """Return the rows that each task has in a chunk: by ``mixing.proportions``, or equally many."""
    assert spec.data.streaming is not None, "the data is streamed"
    given = None if spec.mixing is None else spec.mixing.proportions
    shares = [1.0 if given is None else given[task.name] for task in spec.tasks]
    return apportion(np.array(shares, np.float64), spec.data.streaming.chunk)


def describe_streaming(spec: Spec) -> str:
    """The sentence of the plan about the stream; "" if the data is not streamed."""
    if spec.data.streaming is None:
        return ""
    rows = ", ".join(
        f"{task.name} {count:,}" for task, count in zip(spec.tasks, rows_per_chunk(spec), strict=True)
    )
    return (
        f"data.streaming: an epoch is a chunk of {spec.data.streaming.chunk:,} rows ({rows}); samples, tokens and "
        "steps per epoch are those of the first chunk"
    )


def without_numbers(message: str) -> str:
    """Return a message by which others that differ in their numbers alone are recognized."""
    return re.sub(r"\d[\d,.]*", "N", message)


def starts_again(table: TokenTable, last: tuple[int, int] | None) -> bool:
    """Return True if the rows of a table start again at the first one; ``last`` is the place of the row before them."""
    places = [] if last is None else [last]
    origins = np.concatenate([np.array(places, np.int64).reshape(-1, 2), table.origins])
    sources, lines = np.diff(origins, axis=0).T
    return bool(((sources < 0) | ((sources == 0) & (lines < 0))).any())


def _check(source: Source, index: int) -> None:
    inner = source.source if isinstance(source, MappedSource) else source
    if isinstance(inner, FileSource) and inner.is_read_whole:
        raise MftError(
            f"tasks.{index}.train: {source.name} cannot be streamed, because a .json file is read whole. Save it as "
            ".jsonl, .jsonl.gz or .parquet, or remove data.streaming."
        )


def _identity(source: Source) -> str:
    """Return the identity of a source without reading its rows: names, and size and time of a file."""
    inner = source.source if isinstance(source, MappedSource) else source
    columns = sorted(source.columns.items()) if isinstance(source, MappedSource) else []
    path = inner.path if isinstance(inner, FileSource) else None
    if isinstance(inner, SavedSource):
        path = inner.directory
    state = None if path is None else path.stat()
    return json.dumps([source.name, columns, None if state is None else [state.st_size, state.st_mtime_ns]])


def _remove_last(root: Path, run: str) -> None:
    """Remove all tables of a run if nothing in this process uses them any more."""
    _ALIVE[run] -= 1
    if not _ALIVE[run]:
        _remove(root, run, frozenset())


def _remove(root: Path, run: str, keep: frozenset[str]) -> None:
    """Remove the tables of a run that are not to be kept, with what a killed process left of them.

    A table that another process is making stays.
    """
    found = [*root.glob(f"{run}*"), *root.glob(f".{run}*")]
    for name in {path.name.lstrip(".").split(".")[0] for path in found} - keep:
        lock = FileLock(root / f"{name}.lock")
        try:
            with lock.acquire(timeout=0):
                for path in (root / name, root / f".{name}.partial", root / f".{name}.old"):
                    shutil.rmtree(path, ignore_errors=True)
                (root / f"{name}.lock").unlink(missing_ok=True)
        except (Timeout, OSError):
            continue
