"""Rows with equal contents."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import mftkit
from mftkit_plugins.filters.row_parts import Part, part_of, row_label

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExactDuplicates(mftkit.DataFilter):
    """Keeps the first of the rows with equal contents; ids and other keys are ignored."""

    class Options(mftkit.Options):
        """Options of ``exact-duplicates``."""

        part: Part = "all"
        """What is compared: question and answer, or one of them. A raw text counts as an answer."""
        ignore_space: bool = True
        """Whether rows that differ only in white space are equal."""

    options: Options
    statistic = "exact_repeats"

    def apply(
        self, rows: Iterator[mftkit.JsonObject], context: mftkit.FilterContext
    ) -> Iterator[mftkit.JsonObject]:
        """Yield rows in order; only digests of earlier rows are kept in memory."""
        seen: dict[bytes, str] = {}
        for number, row in enumerate(rows, 1):
            text = part_of(row, self.options.part)
            compared = "".join(text.split()) if self.options.ignore_space else text
            digest = sha256(compared.encode("utf-8", "surrogatepass")).digest()
            if digest in seen:
                context.drop(row, "duplicates an earlier row", detail=seen[digest])
                continue
            seen[digest] = row_label(row, number, context)
            yield row
