"""Rows given in Python, as rows that a line of JSON can hold."""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from mftkit.data.rows.arrow_rows import BATCH, arrow_rows
from mftkit.data.rows.faults import BadRow
from mftkit_registry import MftError

if TYPE_CHECKING:
    from types import ModuleType


class ArrowTable(Protocol):
    """A table of another library (pandas, pyarrow, polars, ...), which Arrow can read."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the table."""


Rows: TypeAlias = ArrowTable | Iterable[Mapping[str, object]]
"""Rows as Python has them: a ``datasets.Dataset``, a pandas or another DataFrame, an Arrow table, or any iterable of
mappings."""


def json_rows(rows: Rows, what: str) -> Iterator[dict[str, object]]:
    """Yield the rows as JSON can hold them.

    A missing value of a table (None, NaN, NA, NaT, Arrow's null) is an absent key, as in a Parquet file. Times, dates
    and decimals become strings. Numbers and arrays of numpy become numbers and lists.

    Args:
        rows: the rows; an iterator is read to its end.
        what: what they are, for messages.

    Raises MftError for rows that are no table and no mappings, and for a value that JSON cannot hold.
    """
    number = 0
    for number, (row, is_table) in enumerate(_rows(rows, what), start=1):
        yield _Converter(f"{what}, row {number}", is_table).row(row)
    if not number:
        raise MftError(f"{what}: there are no rows; give at least one.")


def _rows(rows: Rows, what: str) -> Iterator[tuple[object, bool]]:
    """Each row, and whether it comes from a table, whose rows all have the same keys."""
    datasets, pandas = _loaded("datasets"), _loaded("pandas")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        return ((row, True) for row in _frame_rows(rows, what))
    if datasets is not None and isinstance(rows, datasets.Dataset):
        return _table_rows(rows.with_format("arrow").iter(BATCH), what)
    if hasattr(rows, "__arrow_c_stream__"):
        return _table_rows(pa.table(rows).to_batches(), what)
    if isinstance(rows, str | bytes | Path):
        raise MftError(
            f"{what}: {str(rows)!r} is a path; name files in the spec (tasks[].train), and give rows here."
        )
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        hint = "; for a dict of columns use datasets.Dataset.from_dict" if isinstance(rows, Mapping) else ""
        raise MftError(
            f"{what}: expected a Dataset, a DataFrame or a list of rows, not {type(rows).__name__}{hint}."
        )
    is_stream = datasets is not None and isinstance(rows, datasets.IterableDataset)
    return ((row, is_stream) for row in rows)


def _loaded(name: str) -> ModuleType | None:
    """A package whose objects can only be there if it was imported."""
    return sys.modules.get(name)


def _table_rows(batches: Iterable[pa.RecordBatch | pa.Table], what: str) -> Iterator[tuple[object, bool]]:
    for _number, row in arrow_rows(batches, what):
        yield row, True


def _frame_rows(frame: Any, what: str) -> Iterator[dict[object, object]]:
    repeated = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if repeated:
        raise MftError(
            f"{what}: the DataFrame has several columns named {', '.join(repeated)}; rename or drop them."
        )
    for start in range(0, len(frame), BATCH):
        yield from frame.iloc[start : start + BATCH].to_dict("records")


class _Converter:
    """Converts one row; ``drops_missing``: missing values of objects are absent keys."""

    def __init__(self, where: str, drops_missing: bool) -> None:
        self._where = where
        self._drops_missing = drops_missing

    def row(self, row: object) -> dict[str, object]:
        if isinstance(row, BadRow):
            raise MftError(f"{self._where}: {row}")
        if not isinstance(row, Mapping):
            raise MftError(
                f"{self._where}: expected a mapping from keys to values, such as "
                f'{{"prompt": ..., "response": ...}}, not {type(row).__name__}.'
            )
        return self._object(row, "")

    def _object(self, value: Mapping[object, object], path: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                raise self._refused(path, f"the key {key!r} is not a string")
            if not (self._drops_missing and _is_missing(inner)):
                found[key] = self._value(inner, f"{path}.{key}" if path else key)
        return found

    def _value(self, value: object, path: str) -> object:
        if isinstance(value, np.datetime64 | np.timedelta64):
            return None if np.isnat(value) else str(value)
        if isinstance(value, np.generic | np.ndarray):
            value = value.tolist()
        if value is None or (self._drops_missing and _is_missing(value)):
            return None
        if isinstance(value, Mapping):
            return self._object(value, path)
        if isinstance(value, list | tuple):
            return [self._value(inner, f"{path}.{i}") for i, inner in enumerate(value)]
        return self._scalar(value, path)

    def _scalar(self, value: object, path: str) -> object:
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._no_number(path, value)
        if isinstance(value, datetime.date | datetime.time) and not _is_missing(value):
            return value.isoformat()
        if isinstance(value, str | Decimal | Path | datetime.timedelta):
            return str(value)
        raise self._refused(path, f"a value of type {type(value).__name__} cannot be written as JSON")

    def _no_number(self, path: str, value: object) -> float:
        raise self._refused(path, f"{value} is not a number that JSON can hold")

    def _refused(self, path: str, reason: str) -> MftError:
        return MftError(f"{self._where}{f', key {path}' if path else ''}: {reason}; convert or remove it.")


def _is_missing(value: object) -> bool:
    """None, NaN, and the NA and NaT of pandas."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    pandas = _loaded("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)
