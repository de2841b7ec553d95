"""Checks of every data filter."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.chat_client import open_chat
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.row_texts import content_of
from mftkit.interfaces.data_filter import FilterContext
from mftkit.plugins.executors import choose_executor
from mftkit.testing.assertions import ConformanceError, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

QUESTIONS = 12


def some_rows() -> list[dict[str, Any]]:
    """Return rows of several formats, some of them duplicates or nearly so, with working and broken code."""
    rows: list[dict[str, Any]] = []
    for number in range(QUESTIONS):
        question = f"Write a function that adds {number} to a number and multiplies it by {number % 3}."
        code = f"def f(x):\n    return (x + {number}) * {number % 3}\n"
        answer = f"It is this:\n\n```python\n{code}```\n" if number % 2 else code
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        tests = f"assert f(1) == {(1 + number) * (number % 3)}\nassert f(2) == {(2 + number) * (number % 3)}"
        rows += [
            {"id": 2 * number, "messages": turns, "tests": tests},
            {"id": 2 * number + 1, "instruction": question, "output": answer, "tests": "assert f(1) == -1"},
        ]
    rows.append({"prompt": "Say what it is.", "answer": "```python\ndef broken(:\n```"})
    rows.append({"question": "And in words?", "answer": "No code at all, and no tests with it."})
    return [*rows, *rows[:3]]


class DataFilterConformance(Conformance):
    """Checks of ``mftkit.DataFilter`` on a few rows of several formats."""

    given: ClassVar[Sequence[dict[str, Any]]] = tuple(some_rows())
    """The input rows."""
    seed: ClassVar[int] = 7

    def passed(
        self, rows: Sequence[dict[str, Any]], directory: Path | None = None
    ) -> tuple[list[Any], list[tuple[Any, str]]]:
        """Return the kept rows, and the dropped rows with their reasons."""
        if directory is None:
            with tempfile.TemporaryDirectory() as made:
                return self.passed(rows, Path(made))
        dropped: list[tuple[Any, str]] = []
        kept = self.make().apply(iter(rows), self.context(directory, dropped))
        return list(kept), dropped

    def context(self, directory: Path, dropped: list[tuple[Any, str]]) -> FilterContext:
        """Return the context that is passed to the filter."""

        def drop(row: dict[str, Any], reason: str, detail: str = "") -> None:
            require(isinstance(reason, str) and bool(reason.strip()), "a row is dropped without a reason")
            require(isinstance(detail, str), f"the detail of a dropped row is not a string: {detail!r}")
            dropped.append((row, reason))

        def report(**counts: int) -> None:
            wrong = [name for name, number in counts.items() if not isinstance(number, int)]
            require(not wrong, f"report({', '.join(f'{name}=...' for name in wrong)}) must get an integer")

        return FilterContext(
            seed=self.seed,
            task=self.tasks[0].name,
            directory=directory,
            drop=drop,
            report=report,
            note=lambda message: require(isinstance(message, str), "a note is not a string"),
            chat=lambda ref: open_chat(ref, directory),
            executor=lambda ref: choose_executor(ref, lambda _line: None),
        )

    def test_every_row_is_kept_or_dropped_for_a_reason(self) -> None:
        """Each row is either kept or dropped with a reason."""
        kept, dropped = self.passed(self.given)
        summary = f"{len(self.given)} rows in, {len(kept)} kept, {len(dropped)} dropped"
        require(
            len(kept) + len(dropped) == len(self.given), f"rows are lost, or both dropped and kept: {summary}"
        )

    def test_rows_stay_rows(self) -> None:
        """Kept rows can be written as JSON and read as data rows."""
        for number, row in enumerate(self.passed(self.given)[0], 1):
            try:
                require(
                    json.loads(json.dumps(row)) == row,
                    f"row {number} changes when it is written as JSON and read again: {row}",
                )
                content_of(row)
            except (TypeError, ValueError, BadRow) as error:
                raise ConformanceError(f"kept row {number} cannot be read: {error}") from error

    def test_rows_keep_their_order(self) -> None:
        """Kept rows come out in the order of the input."""
        rows = [{**row, "id": f"row {number:03}"} for number, row in enumerate(self.given)]
        ids = [row.get("id") for row in self.passed(rows)[0]]
        require(ids == sorted(ids, key=str), f"rows come out in another order: {ids}")

    def test_what_comes_in_is_left_as_it_is(self) -> None:
        """The filter does not modify its input rows: a changed row is a new one."""
        rows = json.loads(json.dumps(list(self.given)))
        self.passed(rows)
        require(rows == list(self.given), "the filter modifies its input rows")

    def test_the_same_rows_pass_every_time(self) -> None:
        """The kept rows do not depend on the global random state, and the filter does not change it."""
        made = []
        for state in (0, 1):
            with seeded(state), assert_rng_untouched("the filter"):
                made.append(self.passed(self.given))
        require(
            made[0] == made[1],
            "the filter is not deterministic: the same rows and options gave a different result the second time",
        )

    def test_it_can_start_again_where_it_was_stopped(self) -> None:
        """Stopped halfway and restarted in the same directory, it returns the same rows as without a stop."""
        whole = self.passed(self.given)[0]
        with tempfile.TemporaryDirectory() as directory:
            with self._started(Path(directory)) as rows:
                next(rows, None)
            again = self.passed(self.given, Path(directory))[0]
        require(again == whole, "a filter restarted in the directory of a stopped one returns different rows")

    def test_no_rows(self) -> None:
        """Without rows it returns no rows."""
        kept, dropped = self.passed([])
        require(not kept and not dropped, "the filter returns or drops rows although there is no input")

    @contextmanager
    def _started(self, directory: Path) -> Iterator[Iterator[Any]]:
        rows: Any = self.make().apply(iter(self.given), self.context(directory, []))
        try:
            yield rows
        finally:
            if hasattr(rows, "close"):
                rows.close()
