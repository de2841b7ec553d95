"""Rows that say the same."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import mftkit
from mftkit_plugins.filters.parts import Part, called, part_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExactDuplicates(mftkit.DataFilter):
    """Keeps the first of the rows that say the same; ids and other keys do not count."""

    class Options(mftkit.Options):
        """Options of ``exact-duplicates``."""

        part: Part = "all"
        """What is compared: question and answer, or one of them. A raw text is an answer."""
        ignore_space: bool = True
        """Whether rows that differ in white space alone are the same."""

    options: Options

    def apply(
        self, rows: Iterator[dict[str, Any]], context: mftkit.FilterContext
    ) -> Iterator[dict[str, Any]]:
        """Rows in order; what was seen is kept as digests."""
        seen: dict[bytes, str] = {}
        for number, row in enumerate(rows, 1):
            text = part_of(row, self.options.part)
            digest = sha256(("".join(text.split()) if self.options.ignore_space else text).encode()).digest()
            if digest in seen:
                context.drop(row, "says what an earlier row says", detail=f"that of {seen[digest]}")
                continue
            seen[digest] = called(row, number)
            yield row
