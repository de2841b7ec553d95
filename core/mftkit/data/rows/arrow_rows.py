"""Turns Arrow tables into rows that JSON can hold.

========================  =============================================================
an Arrow value            becomes
========================  =============================================================
null in a struct          no key: Arrow gives every struct of a column the same keys
null in a list            null
map                       an object
JSON text                 the value
time, date, decimal       a string
bytes                     ``{"bytes": LENGTH}``: the key stays and is accounted for, but
                          cannot pass for a text
========================  =============================================================
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import READ_KEYS
from mftkit.data.rows.limits import size_fault
from mftkit.data.rows.source import Numbered
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    Convert = Callable[[Any], object]

BATCH = 1024
"""Rows that are converted at once."""


def arrow_rows(
    batches: Iterable[pa.RecordBatch | pa.Table], name: str, *, before: int = 0, unread: int = 0
) -> Iterator[Numbered]:
    """Yield the rows of the tables, numbered over all of them.

    Args:
        batches: the tables.
        name: of the source.
        before: rows that come before the tables: the first row has the number ``before`` + 1.
        unread: last number of the rows whose values are not needed; they may be None.

    Raises:
        MftError: a table is damaged or has a value that Python cannot hold; the message begins with ``name``.
    """
    number = before
    try:
        for batch in batches:
            if number + batch.num_rows <= unread:
                yield from (Numbered(number + i, None) for i in range(1, batch.num_rows + 1))
                number += batch.num_rows
                continue
            batch.validate(full=True)  # a damaged offset would make pyarrow read foreign memory
            converters = {column.name: _converter(column.type) for column in batch.schema}
            for values in _rows(batch):
                number += 1
                yield Numbered(number, _row(values, converters) if isinstance(values, dict) else values)
    except (
        OSError,
        ValueError,
        OverflowError,
        KeyError,
        NotImplementedError,
        MemoryError,
    ) as error:  # pyarrow's are among these
        first = (str(error).strip().splitlines() or [""])[0]
        raise MftError(
            f"{name}: cannot be read after row {number}: {type(error).__name__}: {first}"
        ) from None


def _rows(batch: pa.RecordBatch | pa.Table) -> Iterator[dict[str, object] | BadRow]:
    """Yield the rows of a table; of a large table one at a time, and the fault of a row that is too large."""
    if size_fault(batch.nbytes) is None:
        yield from batch.to_pylist()
        return
    has_dictionary = "dictionary<" in str(batch.schema)
    for i in range(batch.num_rows):
        row = batch.slice(i, 1)
        fault = size_fault(row.nbytes)
        if fault and not has_dictionary:
            yield BadRow(fault)
            continue
        [values] = row.to_pylist()
        if fault:  # Arrow counts all values of a dictionary, of which the row may have one
            fault = size_fault(len(json.dumps(values, default=str, ensure_ascii=False)))
        yield BadRow(fault) if fault else values


def _row(values: dict[str, object], converters: dict[str, Convert | None]) -> object:
    row: dict[str, object] = {}
    for key, value in values.items():
        convert = converters[key]
        if value is not None and convert is not None:
            value = convert(value)
        if value is not None:
            row[key] = value
        if isinstance(values[key], bytes) and key in READ_KEYS:
            return BadRow(f"the column '{key}' holds bytes, not text: save it with the type string")
    return row


def _converter(kind: pa.DataType) -> Convert | None:
    """Return the function that converts a value of this type which is not null; None if it stays as it is."""
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        return _struct_converter(kind)
    if types.is_map(kind):
        items = _or_same(_converter(kind.item_type))
        return lambda pairs: {
            str(key): None if value is None else items(value) for key, value in dict(pairs).items()
        }
    if isinstance(kind, pa.JsonType):
        return _parsed
    if isinstance(kind, pa.BaseExtensionType):
        return str if isinstance(kind, pa.UuidType) else _converter(kind.storage_type)
    if types.is_dictionary(kind):
        return _converter(kind.value_type)
    if hasattr(kind, "value_type"):  # the kinds of list
        return _list_converter(_converter(kind.value_type))
    return _scalar_converter(kind)


def _scalar_converter(kind: pa.DataType) -> Convert | None:
    from pyarrow import types

    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    if any(is_kind(kind) for is_kind in binary):
        return lambda value: {"bytes": len(value)}
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        return lambda value: str(value.isoformat())
    if types.is_decimal(kind) or types.is_duration(kind) or types.is_interval(kind):
        return str
    return None


def _struct_converter(kind: pa.StructType) -> Convert:
    converters = {field.name: _or_same(_converter(field.type)) for field in kind}
    return lambda value: {
        key: converters[key](inner)
        for key, inner in cast("dict[str, object]", value).items()
        if inner is not None
    }


def _list_converter(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda values: [None if value is None else convert(value) for value in values]


def _or_same(convert: Convert | None) -> Convert:
    return convert if convert is not None else lambda value: value


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:  # a column of this type may hold what is not JSON: it is read as the text it is
        return text
