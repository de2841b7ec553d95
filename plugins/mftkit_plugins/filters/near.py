"""Rows that are almost the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

import mftkit
from mftkit.similarity.near import NearIndex
from mftkit_plugins.filters.parts import Part, called, part_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class NearDuplicates(mftkit.DataFilter):
    """Keeps the first of rows that are almost the same.

    Two rows are that where the runs of tokens (names, numbers, signs; space does not count) that they share are
    at least the share ``threshold`` of the runs of either. Candidates are found by MinHash; of those the share is
    exact.
    """

    class Options(mftkit.Options):
        """Options of ``near-duplicates``."""

        threshold: float = Field(default=0.8, gt=0, le=1)
        """Jaccard similarity from which on a row is dropped."""
        shingle: int = Field(default=5, ge=1)
        """Tokens in a run."""
        permutations: int = Field(default=128, ge=16)
        """Of MinHash: more find more of the pairs near the threshold, for more time and memory."""
        part: Part = "all"
        """What is compared: question and answer, or one of them. A raw text is an answer."""

    options: Options

    def apply(
        self, rows: Iterator[dict[str, Any]], context: mftkit.FilterContext
    ) -> Iterator[dict[str, Any]]:
        """Rows in order; each is compared with those kept before it."""
        options = self.options
        index = NearIndex(options.threshold, options.shingle, options.permutations)
        names: dict[int, str] = {}
        for number, row in enumerate(rows, 1):
            match = index.find_or_add(number, part_of(row, options.part))
            if match is not None:
                told = f"{match.similarity:.0%} as {names[match.key]}"
                context.drop(row, "is almost an earlier row", detail=told)
                continue
            names[number] = called(row, number)
            yield row
