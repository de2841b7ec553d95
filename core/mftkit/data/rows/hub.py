"""A data set on the hub as a source of rows: ``{"dataset": "org/name", "split": "train"}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from mftkit.data.rows.files import Digest, Numbered, without_nulls
from mftkit.data.rows.formats import READ_KEYS
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import HubDataset


class _Dataset(Protocol):
    """What is used of ``datasets.Dataset``."""

    _fingerprint: str
    column_names: Sequence[str]

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[JsonObject]: ...

    def select_columns(self, column_names: Sequence[str]) -> _Dataset: ...


@dataclass(frozen=True)
class HubSource:
    """One split of a data set, loaded through ``datasets`` (and kept in its cache)."""

    dataset: str
    split: str
    where: str
    """The key path in the spec, for messages."""

    @staticmethod
    def of(entry: HubDataset | Mapping[str, str], where: str) -> HubSource:
        """Return the source that an entry of the spec names. Raises MftError if it names none."""
        if isinstance(entry, Mapping):
            dataset, split = entry.get("dataset"), entry.get("split")
        else:
            dataset, split = entry.dataset, entry.split
        if not dataset:
            raise MftError(f'{where}: expected a path or {{"dataset": "org/name", "split": "train"}}')
        return HubSource(dataset, split or "train", where)

    @property
    def name(self) -> str:
        """Name of the source in messages: DATASET[SPLIT]."""
        return f"{self.dataset}[{self.split}]"

    def digest(self) -> Digest:
        """Return the fingerprint of the split's content, as ``datasets`` computes it."""
        return Digest(str(self._rows._fingerprint), len(self._rows))

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows, numbered from 1."""
        for number, row in enumerate(self._rows, 1):
            yield Numbered(number, without_nulls(row))

    @cached_property
    def _rows(self) -> _Dataset:
        import datasets  # type: ignore[import-untyped]

        try:
            loaded: _Dataset = datasets.load_dataset(self.dataset, split=self.split)
        except Exception as error:  # anything the hub, the network or the data set's files may raise
            first = str(error).strip().splitlines() or [""]
            raise MftError(
                f"{self.where}: cannot load the data set {self.dataset} (split {self.split}): "
                f"{type(error).__name__}: {first[0]}"
            ) from None
        return loaded.select_columns([name for name in loaded.column_names if name in READ_KEYS])
