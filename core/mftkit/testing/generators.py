"""Checks of every data generator."""

from __future__ import annotations

import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from mftkit.chat_client.context import GenerationContext
from mftkit.data.rows.formats import BadRow, RowFormat, parse_row, row_weight
from mftkit.testing.assertions import ConformanceError, advise, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded


class DataGeneratorConformance(Conformance):
    """Checks of ``mftkit.DataGenerator``, on the first rows that it makes."""

    limit: ClassVar[int] = 25
    """How many rows are checked."""
    seed: ClassVar[int] = 7
    reads_seed: ClassVar[bool | None] = None
    """True: another seed must give other rows; False: the same rows; None: either is right."""

    def rows(self, seed: int | None = None, directory: Path | None = None) -> list[Any]:
        """The first rows of a fresh generator, in a fresh directory unless one is given."""
        if directory is None:
            with tempfile.TemporaryDirectory() as made:
                return self.rows(seed, Path(made))
        generator = self.make()
        rows = generator.rows(self.context(directory, self.seed if seed is None else seed))
        try:
            return list(islice(rows, self.limit))
        finally:
            _close(rows)

    def context(self, directory: Path, seed: int) -> GenerationContext:
        """What the generator is given; ``report`` takes numbers by name, and nothing else."""

        def report(**counts: int) -> None:
            wrong = [name for name, number in counts.items() if not isinstance(number, int)]
            require(not wrong, f"report: {', '.join(wrong)} of no whole number")

        return GenerationContext(seed, self.tasks[0].name, directory, report)

    def test_rows_are_rows(self) -> None:
        """Rows can be written as JSON, and read as a conversation, a pair or a text."""
        rows = self.rows()
        require(bool(rows), "no row is made")
        formats = set()
        for number, row in enumerate(rows, 1):
            try:
                again = json.loads(json.dumps(row))
            except (TypeError, ValueError) as error:
                raise ConformanceError(f"row {number} cannot be written as JSON: {error}") from error
            require(again == row, f"row {number} is not the same after JSON: {row}")
            formats.add(_format(row, number))
        require(len(formats) == 1, f"rows of several formats, where a task has one: {sorted(formats)}")

    def test_the_seed_decides(self) -> None:
        """The same seed gives the same rows, whatever the global random state, which is not touched."""
        made = []
        for state in (0, 1):
            with seeded(state), assert_rng_untouched("the generator"):
                made.append(self.rows())
        require(made[0] == made[1], "the same seed and options give other rows the second time")

    def test_promise_reads_seed(self) -> None:
        """Another seed gives other rows if, and only if, ``reads_seed`` states so."""
        differ = self.rows(self.seed) != self.rows(self.seed + 1)
        stated = self.stated("reads_seed")
        require(differ or not stated, "reads_seed is True, but another seed gives the same rows")
        if differ and stated is False:
            advise("reads_seed is False, but another seed gives other rows")

    def test_it_survives_a_kill(self) -> None:
        """Closed half way, and started again in the same directory, it gives the rows that it would have."""
        whole = self.rows()
        with tempfile.TemporaryDirectory() as directory:
            started = self.make().rows(self.context(Path(directory), self.seed))
            half = list(islice(started, max(1, len(whole) // 2)))
            _close(started)
            again = self.rows(directory=Path(directory))
        require(half == whole[: len(half)], "the first rows differ from one start to the next")
        require(again == whole, "started again in the directory of one that was closed, it gives other rows")


def _format(row: Any, number: int) -> str:
    formats: tuple[RowFormat, ...] = ("chat", "text")
    reasons = []
    for row_format in formats:
        try:
            parse_row(row, row_format)
            row_weight(row)
        except BadRow as error:
            reasons.append(f"as {row_format}: {error}")
        else:
            return row_format
    raise ConformanceError(f"row {number} cannot be read: {'; '.join(reasons)}")


def _close(rows: Any) -> None:
    """As leaving a half-read generator does."""
    if hasattr(rows, "close"):
        rows.close()
