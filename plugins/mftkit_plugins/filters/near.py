"""Rows that are almost equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

import mftkit
from mftkit_plugins.filters.row_parts import Part, part_of, row_label
from mftkit_plugins.filters.text.near import NearIndex

if TYPE_CHECKING:
    from collections.abc import Iterator


class NearDuplicates(mftkit.DataFilter):
    """Keeps the first of rows that are almost equal.

    Two rows are near duplicates if the runs of tokens (names, numbers, signs; white space is ignored) that they share
    are at least the share ``threshold`` of the runs of either. Candidates are found by MinHash; their similarity is
    then computed exactly.
    """

    class Options(mftkit.Options):
        """Options of ``near-duplicates``."""

        threshold: float = Field(default=0.8, gt=0, le=1)
        """Jaccard similarity at or above which a row is dropped."""
        shingle: int = Field(default=5, ge=1)
        """Tokens per run."""
        permutations: int = Field(default=128, ge=16)
        """Permutations of MinHash. More of them find more of the pairs near the threshold, at a cost in time and
        memory."""
        part: Part = "all"
        """What is compared: question and answer, or one of them. A raw text counts as an answer."""

    options: Options
    statistic = "near_repeats"
    packages: ClassVar[dict[str, str]] = {"datasketch": "mftkit[generate]"}

    def apply(
        self, rows: Iterator[mftkit.JsonObject], context: mftkit.FilterContext
    ) -> Iterator[mftkit.JsonObject]:
        """Yield rows in order; each is compared with the rows kept before it."""
        options = self.options
        index = NearIndex(options.threshold, options.shingle, options.permutations)
        labels: dict[int, str] = {}
        for number, row in enumerate(rows, 1):
            match = index.find_or_add(number, part_of(row, options.part))
            if match is not None:
                detail = f"{match.similarity:.0%} similar to {labels[match.key]}"
                context.drop(row, "nearly duplicates an earlier row", detail=detail)
                continue
            labels[number] = row_label(row, number, context)
            yield row
