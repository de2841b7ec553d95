"""A data set on the hub as a source of rows: ``{"dataset": "org/name", "split": "train"}``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from mftkit.data.rows.arrow_rows import BATCH, arrow_rows
from mftkit.data.rows.source import Digest, Numbered
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa  # type: ignore[import-untyped]

    from mftkit.spec import DataFiles

_IDENTITY_COLUMNS = frozenset(
    [
        "answer",
        "chat_rounds",
        "conversations",
        "data_name",
        "group",
        "id",
        "input",
        "instruction",
        "messages",
        "output",
        "prompt",
        "query",
        "question",
        "response",
        "system",
        "text",
        "weight",
    ]
)
"""Columns from whose selection ``datasets`` computes the fingerprint that is the identity of the rows.

All columns are read. The fingerprint of the whole data set would be as good; this one keeps the identity that runs and
caches of mftkit 0.1 have.
"""


class _Dataset(Protocol):
    """What is used of ``datasets.Dataset``."""

    _fingerprint: str
    column_names: Sequence[str]

    def __len__(self) -> int: ...

    def with_format(self, kind: str) -> _Dataset: ...

    def iter(self, batch_size: int) -> Iterator[pa.Table]: ...

    def select_columns(self, column_names: Sequence[str]) -> _Dataset: ...


@dataclass(frozen=True)
class HubSource:
    """One split of a data set, loaded through ``datasets`` (and kept in its cache)."""

    dataset: str
    split: str
    where: str
    """The key path in the spec, for messages."""
    configuration: str | None = None
    revision: str | None = None
    data_files: DataFiles = None

    @property
    def name(self) -> str:
        """Name of the source in messages: DATASET[SPLIT], with everything else that says which rows these are."""
        details = [
            f"{key}={value}"
            for key, value in (
                ("name", self.configuration),
                ("revision", self.revision),
                ("data_files", _files_text(self.data_files)),
            )
            if value is not None
        ]
        return f"{self.dataset}[{', '.join([self.split, *details])}]"

    def digest(self) -> Digest:
        """Return the fingerprint of the split's content, as ``datasets`` computes it."""
        names = [name for name in self._rows.column_names if name in _IDENTITY_COLUMNS]
        return Digest(str(self._rows.select_columns(names)._fingerprint), len(self._rows))

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows, numbered from 1."""
        return arrow_rows(self._rows.with_format("arrow").iter(batch_size=BATCH), self.name)

    def stream(self, unread: int = 0) -> Iterator[Numbered]:
        """Yield the rows as ``rows`` does, without downloading the whole split; the first ``unread`` may be None."""
        batches = self._load(streaming=True).with_format("arrow").iter(batch_size=BATCH)
        return arrow_rows(batches, self.name, unread=unread)

    @cached_property
    def _rows(self) -> _Dataset:
        return self._load(streaming=False)

    def _load(self, *, streaming: bool) -> _Dataset:
        import datasets  # type: ignore[import-untyped]

        try:
            loaded: _Dataset = datasets.load_dataset(
                self.dataset,
                self.configuration,
                split=self.split,
                revision=self.revision,
                data_files=self.data_files,
                **({"streaming": True} if streaming else {}),
            )
        except Exception as error:  # anything the hub, the network or the data set's files may raise
            first = str(error).strip().splitlines() or [""]
            raise MftError(
                f"{self.where}: cannot load the data set {self.name}: {type(error).__name__}: {first[0]}"
            ) from None
        return loaded


def _files_text(data_files: DataFiles) -> str | None:
    """Return ``data_files`` on one line.

    >>> _files_text({"train": ["a.json", "b.json"], "test": "c.json"})
    'train:a.json+b.json test:c.json'
    """
    if data_files is None or isinstance(data_files, str):
        return data_files
    if isinstance(data_files, dict):
        return " ".join(f"{split}:{_files_text(files)}" for split, files in data_files.items())
    return "+".join(data_files)
