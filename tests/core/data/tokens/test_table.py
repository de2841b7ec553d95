"""A table of tokens on the disk: as small as its ids allow, and read as it was written."""

from __future__ import annotations

import subprocess
import sys
from array import array
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from mftkit.data.text.encoder import Encoded
from mftkit.data.tokens.table import RowColumns, TableWriter, TokenTable

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = [[0, 7, 65_535], [], [40_000] * 5]
WRITE = """
import sys
from pathlib import Path
from mftkit.data.tokens.table import TableWriter
writer = TableWriter(Path(sys.argv[1]))
from array import array
import numpy as np
from mftkit.data.tokens.table import RowColumns
from types import SimpleNamespace
encoded = SimpleNamespace(
    tokens=array("i", [1]), lengths=array("i", [1]), spans=array("i"), span_counts=array("i", [0])
)
kinds = (np.uint64, np.uint64, np.int32, np.int64, np.float64)
writer.append(encoded, RowColumns(*(np.zeros(1, kind) for kind in kinds)))
writer.close({})
assert "pandas" not in sys.modules
"""


def written(directory: Path, highest: int | None) -> TokenTable:
    directory.mkdir()
    writer = TableWriter(directory, highest=highest)
    tokens = array("i", [token for sample in SAMPLES for token in sample])
    encoded = Encoded(tokens, array("i", map(len, SAMPLES)), array("i", [1, 3, 2, 5]), array("i", [1, 0, 1]))
    numbers = np.arange(3)
    rows = RowColumns(
        numbers.astype(np.uint64),
        numbers[::-1].astype(np.uint64),
        numbers.astype(np.int32),
        numbers.astype(np.int64),
        np.array([1, 0.5, 2.0]),
    )
    writer.append(encoded, rows)
    writer.close({})
    return TokenTable(directory)


@pytest.mark.parametrize(
    ("highest", "stored"), [(65_535, pa.uint16()), (65_536, pa.int32()), (None, pa.int32())]
)
def test_ids_take_two_bytes_where_all_of_them_fit(
    tmp_path: Path, highest: int | None, stored: pa.DataType
) -> None:
    table = written(tmp_path / "table", highest)
    schema = pa.ipc.open_file(tmp_path / "table" / "samples.arrow").schema
    assert schema.field("tokens").type == pa.list_(stored)
    assert [table.sample(row)[0].tolist() for row in range(3)] == SAMPLES
    assert [table.sample(row)[1].tolist() for row in range(3)] == [[1, 3], [], [2, 5]]
    assert {array.dtype for row in range(3) for array in table.sample(row)} == {np.dtype(np.int32)}
    assert table.split_keys.tolist() == [2, 1, 0]
    assert table.weights.tolist() == [1, 0.5, 2]
    assert table.origin(2) == (2, 2)
    assert table.loss_tokens(4).tolist() == [2, 0, 2]


def test_tokens_of_a_large_vocabulary_are_views_of_the_file(tmp_path: Path) -> None:
    tokens, _spans = written(tmp_path / "table", 150_000).sample(0)
    assert not tokens.flags.owndata
    assert not tokens.flags.writeable


def test_writing_imports_no_pandas(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], check=True)
