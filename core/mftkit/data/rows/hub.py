"""A data set of the hub as a source of rows: ``{"dataset": "org/name", "split": "train"}``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mftkit.data.rows.files import Digest, Numbered, without_nulls
from mftkit.data.rows.formats import READ_KEYS
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class HubSource:
    """One split of a data set, loaded through ``datasets`` (and kept in its cache)."""

    dataset: str
    split: str
    where: str
    """The key path in the spec, for messages."""

    @staticmethod
    def of(entry: Any, where: str) -> HubSource:
        """The source that an entry of the spec names: a mapping, or an object with these attributes."""
        given = (
            entry
            if isinstance(entry, dict)
            else {key: getattr(entry, key, None) for key in ("dataset", "split")}
        )
        if not given.get("dataset"):
            raise MftError(f'{where}: a path, or {{"dataset": "org/name", "split": "train"}}, is wanted')
        return HubSource(str(given["dataset"]), str(given.get("split") or "train"), where)

    @property
    def name(self) -> str:
        """What messages name it by, in place of a path."""
        return f"{self.dataset}[{self.split}]"

    def digest(self) -> Digest:
        """The fingerprint that ``datasets`` keeps of the split's content."""
        return Digest(str(self._rows._fingerprint), len(self._rows))

    def rows(self) -> Iterator[Numbered]:
        """The rows, numbered from 1."""
        for number, row in enumerate(self._rows, 1):
            yield Numbered(number, without_nulls(row))

    @cached_property
    def _rows(self) -> Any:
        import datasets  # type: ignore[import-untyped]

        try:
            loaded = datasets.load_dataset(self.dataset, split=self.split)
        except Exception as error:  # whatever the hub, the network or the data set's files give
            first = str(error).strip().splitlines() or [""]
            raise MftError(
                f"{self.where}: the data set {self.dataset} (split {self.split}) cannot be loaded: "
                f"{type(error).__name__}: {first[0]}"
            ) from None
        return loaded.select_columns([name for name in loaded.column_names if name in READ_KEYS])
