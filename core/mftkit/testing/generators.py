"""Checks of every data generator."""

from __future__ import annotations

import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from mftkit.chat_client.context import GenerationContext
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import read_conversation, read_text, row_weight
from mftkit.testing.assertions import ConformanceError, advise, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded


class DataGeneratorConformance(Conformance):
    """Checks of ``mftkit.DataGenerator`` on the first rows that it yields."""

    limit: ClassVar[int] = 25
    """Number of rows to check."""
    seed: ClassVar[int] = 7
    reads_seed: ClassVar[bool | None] = None
    """True: another seed must give different rows; False: it must give the same rows; None: either is correct."""

    def rows(self, seed: int | None = None, directory: Path | None = None) -> list[Any]:
        """Return the first rows of a new generator, in a new directory unless one is given."""
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
        """Return the context that is passed to the generator; its ``report`` accepts integers by name only."""

        def report(**counts: int) -> None:
            wrong = [name for name, number in counts.items() if not isinstance(number, int)]
            require(not wrong, f"report({', '.join(f'{name}=...' for name in wrong)}) must get an integer")

        return GenerationContext(seed, self.tasks[0].name, directory, report)

    def test_rows_are_rows(self) -> None:
        """Rows can be written as JSON, and read as a conversation, a pair or a text."""
        rows = self.rows()
        require(bool(rows), "the generator yields no rows")
        formats = set()
        for number, row in enumerate(rows, 1):
            try:
                again = json.loads(json.dumps(row))
            except (TypeError, ValueError) as error:
                raise ConformanceError(f"row {number} cannot be written as JSON: {error}") from error
            require(again == row, f"row {number} changes when it is written as JSON and read again: {row}")
            formats.add(_format(row, number))
        require(len(formats) == 1, f"rows have several formats, but a task has only one: {sorted(formats)}")

    def test_the_seed_decides(self) -> None:
        """Rows depend on the seed, not on the global random state, and the generator does not change that state."""
        made = []
        for state in (0, 1):
            with seeded(state), assert_rng_untouched("the generator"):
                made.append(self.rows())
        require(
            made[0] == made[1],
            "the generator is not deterministic: the same seed and options gave different rows the second time",
        )

    def test_promise_reads_seed(self) -> None:
        """Another seed gives different rows if and only if ``reads_seed`` is True."""
        differ = self.rows(self.seed) != self.rows(self.seed + 1)
        stated = self.stated("reads_seed")
        require(differ or not stated, "reads_seed is True, but another seed gives the same rows")
        if differ and stated is False:
            advise("reads_seed is False, but another seed gives different rows")

    def test_it_survives_a_kill(self) -> None:
        """Stopped halfway and restarted in the same directory, it yields the same rows as without a stop."""
        whole = self.rows()
        with tempfile.TemporaryDirectory() as directory:
            started = self.make().rows(self.context(Path(directory), self.seed))
            half = list(islice(started, max(1, len(whole) // 2)))
            _close(started)
            again = self.rows(directory=Path(directory))
        require(half == whole[: len(half)], "the first rows differ between two starts")
        require(
            again == whole, "a generator restarted in the directory of a stopped one yields different rows"
        )


def _format(row: Any, number: int) -> str:
    readers = {"chat": read_conversation, "text": read_text}
    reasons = []
    for row_format, read in readers.items():
        try:
            read(row)
            row_weight(row)
        except BadRow as error:
            reasons.append(f"as {row_format}: {error}")
        else:
            return row_format
    raise ConformanceError(f"row {number} cannot be read: {'; '.join(reasons)}")


def _close(rows: Any) -> None:
    """Close a partly read iterator, as happens when a generator is abandoned."""
    if hasattr(rows, "close"):
        rows.close()
