"""A directory that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` made, as a source of rows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mftkit.base.json_files import read_json_object
from mftkit.data.rows.arrow_rows import BATCH, arrow_rows
from mftkit.data.rows.source import Digest, Numbered
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa  # type: ignore[import-untyped]

    from mftkit.base.json_types import JsonObject

_STATE, _INFO, _DICT = "state.json", "dataset_info.json", "dataset_dict.json"
DEFAULT_SPLIT = "train"


def is_saved(directory: Path) -> bool:
    """Return True for a directory that ``save_to_disk`` made, of one data set or of a dictionary of splits."""
    return (directory / _DICT).is_file() or all((directory / name).is_file() for name in (_STATE, _INFO))


def saved_around(path: Path) -> Path | None:
    """Return the saved data set that a file or a directory is a part of; the outer one if there are two."""
    return next((parent for parent in list(path.parents)[1::-1] if is_saved(parent)), None)


class _Dataset(Protocol):
    """What is used of ``datasets.Dataset``."""

    def __len__(self) -> int: ...

    def select(self, indices: Sequence[int]) -> _Dataset: ...

    def with_format(self, kind: str) -> _Dataset: ...

    def iter(self, batch_size: int) -> Iterator[pa.Table]: ...


class _Part(NamedTuple):
    """Rows of one split: those from ``start`` up to ``end``."""

    directory: Path
    start: int
    end: int


@dataclass(frozen=True)
class SavedSource:
    """One split of a saved data set, or a part of it."""

    directory: Path
    where: str
    """The key path in the spec, for messages."""
    split: str | None = None
    """None: the only split, otherwise "train"."""

    @property
    def name(self) -> str:
        """Name of the source in messages: DIRECTORY, or DIRECTORY[SPLIT] if there are splits to choose from."""
        chosen = self.chosen_split
        return str(self.directory) if chosen is None else f"{self.directory}[{chosen}]"

    @cached_property
    def chosen_split(self) -> str | None:
        """The split that is read; None for a data set without splits. Raises MftError if one must be named."""
        if not self.splits:
            return None if self.split in (None, DEFAULT_SPLIT, self._own_split) else self.split
        if self.split is not None:
            return self.split
        if DEFAULT_SPLIT in self.splits:
            return DEFAULT_SPLIT
        if len(self.splits) > 1:
            example = json.dumps({"dataset": str(self.directory), "split": self.splits[0]})
            raise MftError(
                f"{self.where}: {self.directory} has the splits {', '.join(self.splits)}; name one: {example}"
            )
        return self.splits[0]

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits of a dictionary of data sets; empty for a single data set."""
        if not (self.directory / _DICT).is_file():
            return ()
        splits = self._json(self.directory / _DICT).get("splits")
        if not isinstance(splits, list) or not splits:
            raise MftError(f"{self.where}: {self.directory / _DICT} lists no splits; save the data set again")
        return tuple(map(str, splits))

    def digest(self) -> Digest:
        """Return the sha256 of the rows' files, of their features and of the part that is read."""
        total = hashlib.sha256()
        for part in self._parts:
            features = self._json(part.directory / _INFO).get("features")
            total.update(json.dumps([features, part.start, part.end], sort_keys=True).encode())
            for path in self._data_files(part.directory):
                total.update(self._sha256(path))
        return Digest(total.hexdigest(), sum(part.end - part.start for part in self._parts))

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows, numbered from 1 within the part that is read."""
        return arrow_rows(self._tables(), self.name)

    def _tables(self) -> Iterator[pa.Table]:
        for part in self._parts:
            whole = _load(part.directory, self.where)
            chosen = whole.select(range(part.start, part.end))
            yield from chosen.with_format("arrow").iter(batch_size=BATCH)

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        import datasets  # type: ignore[import-untyped]

        if self.splits:
            directories = {split: self.directory / split for split in self.splits}
        else:
            directories = dict.fromkeys((self._own_split, DEFAULT_SPLIT), self.directory)
        lengths = {split: len(_load(at, self.where)) for split, at in directories.items()}
        try:
            instruction = datasets.ReadInstruction.from_spec(self.chosen_split or DEFAULT_SPLIT)
            chosen = instruction.to_absolute(lengths)
        except (ValueError, AssertionError) as error:
            known = ", ".join(self.splits or list(directories)[:1])
            raise MftError(
                f"{self.where}: {self.directory} has no split {self.split} (splits: {known}): {_first_line(error)}"
            ) from None
        return tuple(_Part(directories[part.splitname], int(part.from_), int(part.to)) for part in chosen)

    @cached_property
    def _own_split(self) -> str:
        """The split that a single data set was when it was saved."""
        return str(self._json(self.directory / _STATE).get("_split") or DEFAULT_SPLIT)

    def _data_files(self, directory: Path) -> Iterator[Path]:
        files = self._json(directory / _STATE).get("_data_files")
        for entry in files if isinstance(files, list) else []:
            yield directory / str(entry["filename"])

    def _sha256(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise MftError(f"{self.where}: {path}: cannot be read: {error.strerror}") from None

    def _json(self, path: Path) -> JsonObject:
        try:
            return read_json_object(path)
        except (OSError, ValueError) as error:
            raise MftError(
                f"{self.where}: {path} cannot be read, so {self.directory} is not a complete data set of "
                f"save_to_disk: {_first_line(error)}"
            ) from None


def _load(directory: Path, where: str) -> _Dataset:
    import datasets

    try:
        loaded: _Dataset = datasets.load_from_disk(str(directory))
    except Exception as error:  # anything that a damaged directory or another version's features may raise
        what = f"{type(error).__name__}: {_first_line(error)}"
        raise MftError(f"{where}: cannot load the saved data set {directory}: {what}") from None
    return loaded


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
