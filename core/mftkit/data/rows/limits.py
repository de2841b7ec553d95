"""Limits of what a data file may ask for: a few bytes of gzip can stand for gigabytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.formatting import size
from mftkit.data.rows.faults import RowError
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

MOST_BYTES = 32 << 20
"""Bytes of the largest row: about eight million tokens."""
MOST_SKIPPED = 1 << 30
"""Bytes of a line after which the rest of the file is not looked at."""
MOST_BLANK = 5_000_000
"""Empty lines in a row, which a few bytes of gzip can stand for, after which the rest of the file is not looked at."""
MOST_ARRAY = 1 << 30
"""Bytes of the largest file that is one JSON array, which must be in memory as a whole."""


def size_fault(number_of_bytes: int) -> str | None:
    """What is wrong with a row of this size; None if nothing is."""
    if number_of_bytes <= MOST_BYTES:
        return None
    return f"the row has more than {size(MOST_BYTES)}; split it, or leave it out"


def limited_lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the lines of a file; of one that is too long, which ``size_fault`` refuses, only the beginning.

    Raises RowError for a line that does not end where any file of rows has ended.
    """
    number = blank = 0
    while line := file.readline(MOST_BYTES + 2):
        number += 1
        yield line
        blank = blank + 1 if line == b"\n" else 0
        if blank > MOST_BLANK:
            raise RowError(name, number, f"{MOST_BLANK:,} empty lines in a row; remove them")
        skipped = len(line)
        while len(line) > MOST_BYTES and not line.endswith(b"\n"):
            line = file.readline(MOST_BYTES + 2)
            skipped += len(line)
            if skipped > MOST_SKIPPED:
                what = f"the line has more than {size(MOST_SKIPPED)}; the rest of the file cannot be read"
                raise RowError(name, number, what)
            if not line:
                break


def check_array(number_of_bytes: int, name: str) -> None:
    """Raise MftError for a JSON array that is too large to be in memory as a whole."""
    if number_of_bytes > MOST_ARRAY:
        raise MftError(
            f"{name}: is one JSON array of {size(number_of_bytes)}, which must be in memory as a whole, and may have "
            f"{size(MOST_ARRAY)}; write one object per line, and name the file .jsonl"
        )
